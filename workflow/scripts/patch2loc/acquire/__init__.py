"""Stage acquire: downloads, archives, tables, folders, BIDS, DICOM, and simulated scans."""
