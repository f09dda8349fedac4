"""Bad tables, names, paths and archives, each with its message, as in hostile_scans.py."""

import gzip
import io
import stat
import tarfile
import zipfile

from patch2loc.acquire import sources, unpack
from patch2loc.data import splits

HEAD = "subject,modality,scan,brain,lesion\n"
ROW = "a,T1,a.nii.gz,,\n"
SPLIT = "subject,fold0\na,train\nb,validation\nc,test\n"


def table(content, **changes):
    def make(folder):
        path = folder / "own.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        dataset = {"kind": "table", "name": "own", "modality": "T1", "table": str(path), "root": str(folder)}
        return lambda: sources.sources(dataset | changes)

    return make


def named(subject):
    return table(HEAD + f'"{subject}",T1,a.nii.gz,,\n')


def listed(content, **changes):
    def make(folder):
        (folder / "own.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
        return lambda: splits.roles(folder / "own.csv", **({"fold": 0} | changes))

    return make


def pairs(row):
    def make(folder):
        (folder / "own.csv").write_text(f"subject,scan,brain,mask,mirrored,seed\n{row}\n")
        dataset = {"kind": "painted", "modality": "T1", "table": str(folder / "own.csv"), "data": str(folder)}
        return lambda: sources.sources(dataset | {"root": str(folder)})

    return make


def folder_of(pattern, subjects="a"):
    def make(folder):
        (folder / "own.csv").write_text(f"subject\n{subjects}\n")
        (folder / "a b.nii.gz").touch()
        dataset = {"kind": "folder", "name": "own", "root": str(folder), "scan": pattern}
        return lambda: sources.sources(dataset | ({"subjects": str(folder / "own.csv")} if subjects else {}))

    return make


def sparse(size):
    """A table of many megabytes that takes none of the disk."""

    def make(folder):
        with open(folder / "own.csv", "wb") as stream:
            stream.truncate(size)
        return lambda: splits.read(folder / "own.csv")

    return make


ODD = r"own.*: 1 subjects found whose names cannot be those of folders \(.*\); use letters a to z, digits"
NAMES = {
    "space": "a b",
    "quote": "a'b",
    "double quote": 'a""b',
    "semicolon": "a;rm b",
    "command": "$(touch trace)",
    "backquotes": "`touch trace`",
    "newline": "a\nb",
    "letters that are not ASCII": "größe",
    "right to left": "a\u202eb",
    "parent folder": "../../a",
    "absolute path": "/etc/passwd",
    "folder": "a/b",
    "dots": "..",
    "option": "-rf",
    "pattern": "a*",
    "braces": "{a}",
    "backslash": "a\\b",
    "300 letters": 300 * "a",
}
TABLES = {
    **{f"name with {name}": (named(subject), ODD) for name, subject in NAMES.items()},
    "name in a list": (listed(SPLIT.replace("a,", "../a,")), ODD),
    "name in a folder": (
        folder_of("{subject}.nii.gz", subjects=""),
        r"dataset own: 1 subjects found whose names .*'a b'",
    ),
    "name in a table of pairs": (pairs("../a,a,b,m,1,1"), ODD),
    "no name": (
        table(HEAD + ",T1,a.nii.gz,,\n"),
        "own.csv: 1 rows without a name found .*; name each row's subject",
    ),
    "subject twice": (table(HEAD + 2 * ROW), "own.csv: a is listed more than once; keep one row"),
    "subject twice in a list": (
        listed(SPLIT + "a,train\n"),
        "own.csv: 1 subjects listed more than once .a.; keep one row of each",
    ),
    "column missing": (
        table("subject,scan\na,a.nii\n"),
        "own.csv: columns subject, scan found, .*; add modality",
    ),
    "column twice": (
        table("subject," + HEAD + "x," + ROW),
        "own.csv: two columns subject found, one of a name exp",
    ),
    "cells too many": (
        table(HEAD + "x," + ROW),
        "own.csv: not a readable CSV .*Expected 5 fields in line 2, saw 6",
    ),
    "cells too few": (
        table(HEAD + "a,T1\n"),
        "own.csv: subject a has no scan; fill the cell or remove the row",
    ),
    "rows of a register": (
        table(HEAD + "".join(f"s{number},T1,a.nii.gz,,\n" for number in range(100_001))),
        "own.csv: 100,001 subjects found, at most 100,000 expected, .* minutes to plan; divide them among",
    ),
    "cohort of a register": (
        lambda folder: (
            lambda: sources.sources(
                {"kind": "phantom", "name": "own", "cohort": "wmh", "count": 100_001, "modality": "T1"}
                | {"root": str(folder)}
            )
        ),
        "dataset own: 100,001 subjects found, at most 100,000 expected",
    ),
    "cell of a megabyte": (
        table(HEAD + f"a,T1,{'x' * 10**6},,\n"),
        "own.csv: a cell of 1,000,000 letters found, at most 4,096 expected, as of a path; look for a quotation",
    ),
    "column of a megabyte": (table(f"{'x' * 10**6},{HEAD}"), "own.csv: a cell of 1,000,000 letters found"),
    "table of the size of scans": (
        sparse(100_000_001),
        "own.csv: more than 100 MB found, the list of subjects expected, of fewer; give the path of a table",
    ),
    "lesion that is the scan": (
        table(HEAD + "a,T1,a.nii.gz,,a.nii.gz\n"),
        "dataset own: lesion of a: .*/a.nii.gz found, which is its scan, a file of its own expected; give the file",
    ),
    "lesion that is the brain mask": (
        table(HEAD + "a,T1,a.nii.gz,b.nii.gz,b.nii.gz\n"),
        "dataset own: lesion of a: .*/b.nii.gz found, which is its brain mask, a file of its own expected; give",
    ),
    "header alone": (table(HEAD), "own.csv: no scan of modality T1; add its rows"),
    "list without subjects": (
        listed("subject,fold0\n"),
        "own.csv: no subject found, at least one expected; add a row",
    ),
    "empty table": (
        table(""),
        "own.csv: not a readable CSV .No columns.*; write it as UTF-8, comma-separated",
    ),
    "quote that does not end": (table(HEAD + '"a,T1\n'), "own.csv: not a readable CSV .*EOF inside string"),
    "Latin-1": (table((HEAD + ROW + "ü").encode("latin-1")), "own.csv: not a readable CSV .'utf-8' codec"),
    "UTF-16": (
        table((HEAD + ROW).encode("utf-16")),
        "own.csv: not a readable CSV .'utf-8' codec.*write it as UTF-8",
    ),
    "zero bytes": (
        table(HEAD + "a\0b,T1,a.nii,,\n"),
        "own.csv: zero bytes found, text expected; write it as UTF-8",
    ),
    "compressed table": (
        table(gzip.compress(HEAD.encode())),
        "own.csv: not a readable CSV .*write it as UTF-8",
    ),
    "folder in place of a table": (table(HEAD, table="/"), "/: not a readable CSV .*Is a directory"),
    "no table": (
        table(HEAD, table="absent.csv"),
        "absent.csv: no such file; the table of dataset own was expected",
    ),
    "modality that is not there": (
        table(HEAD + ROW, modality="T2"),
        "own.csv: no scan of modality T2; add its rows or",
    ),
    "kind that is not there": (
        table(HEAD, kind="dicom"),
        "dataset own: kind 'dicom' found, one of table, folder",
    ),
    "URL of a scan": (
        table(HEAD + "a,T1,https://x.org/a.nii,,\n"),
        "own: scan of a: a URL, .* found, a path exp.*downl",
    ),
    "URL of a mask": (
        table(HEAD + "a,T1,a.nii,s3://x/b.nii,\n"),
        "own: brain of a: a URL, .* found, a path expected",
    ),
    "name of a mask that no file has": (
        table(HEAD + f"a,T1,a.nii,,{300 * 'b'}.nii\n"),
        "own: lesion of a: a path of [0-9]+ letters, .*, found, at most 4095, and 255 from one / to the next, exp",
    ),
    "URL of a list": (
        listed(SPLIT, fold=0) and (lambda _: lambda: splits.read("https://x.org/l.csv")),
        "l.csv: no such",
    ),
    "URL of a folder": (
        folder_of("https://x.org/{subject}.nii"),
        "own: scan of a: a URL, .* found, a path expected",
    ),
    "pattern from the root": (
        folder_of("/etc/{subject}", subjects=""),
        "own: pattern '/etc/.' found .*a path below `root`",
    ),
    "pattern that asks for code": (
        folder_of("{subject.__class__}.nii"),
        "asks for 'subject.__class__', but .*add the",
    ),
    "pattern that fills memory": (
        folder_of("{subject:>99999999999}"),
        "asks for 'subject:>99999999999', but .*add the",
    ),
    "modality of another case": (
        table(HEAD + ROW + "b,t1,b.nii,,\nc,T1w,c.nii,,\n"),
        "own.csv: 2 rows found whose modality is empty or misspelled .b: 't1', c: 'T1w'.; write one of T1, T2, FLAIR",
    ),
    "no modality": (
        table(HEAD + ROW + "b,,b.nii,,\n"),
        "own.csv: 1 rows found whose modality is empty or misspelled .b: ''.; write one of T1, T2, FLAIR",
    ),
    "lesion of another subject": (
        table(HEAD + "a,T1,a.nii,,l.nii\nb,T1,b.nii,,l.nii\n"),
        "dataset own: lesion of b: .*/l.nii found, which is that of a, a file of its own expected; give the file of",
    ),
    "subjects that differ by case": (
        table(HEAD + ROW + "A,T1,b.nii,,\n"),
        "own.csv: 1 pairs of subjects found that differ only by upper and lower case .a, A.; give them other names",
    ),
    "subjects of a list that differ by case": (
        listed(SPLIT + "A,train\n"),
        "own.csv: 1 pairs of subjects found that differ only by .* .a, A.; give",
    ),
    "rows with semicolons under commas": (
        table(HEAD + ROW.replace(",", ";")),
        "own.csv: ',' between the cells of the header and ';' between those of rows found, one of the two expected",
    ),
    **{
        f"has_t2 {value!r}": (
            listed(f"subject,has_t2,fold0\na,1,train\nb,{value},validation\n"),
            "own.csv: 1 subjects with a has_t2 that is neither 0 nor 1 .b.; write 1 for those who have a T2 scan",
        )
        for value in ("1.0", "yes", "")
    },
    **{
        f"column {column}": (
            listed(f"subject,{column}\na,test\nb,validation\n"),
            f"own.csv: a column {column!r} found, {known!r} expected; rename it",
        )
        for column, known in (
            ("Role", "role"),
            ("HAS_T2", "has_t2"),
            ("has t2", "has_t2"),
            ("Fold0", "fold0"),
            ("fold_0", "fold0"),
            ("Site", "site"),
        )
    },
    "unknown role": (
        listed(SPLIT + "d,val\n"),
        "own.csv: 1 subjects with an unknown role .d.; use train, valid",
    ),
    "test role in two places": (
        listed("subject,fold0,fold1\na,train,train\nb,validation,train\nc,test,train\n"),
        "own.csv: 1 test subjects that are in training or validation .c.; make them test in every fold",
    ),
    "validated in two folds": (
        listed("subject,fold0,fold1\na,train,train\nb,validation,validation\nc,test,test\n"),
        "own.csv: 1 subjects in the validation lists of several folds .b.; keep each in one",
    ),
    "fold without column": (
        listed(SPLIT, fold=3),
        "own.csv: no column fold3, but fold0; ask for one of these folds",
    ),
    "role without subject": (
        listed("subject,fold0\na,train\nc,test\n"),
        "own.csv, T1: no validation subject found in fold0",
    ),
    "published counts that are none": (
        listed("subject,has_t2,test,train_fold0,val_fold0\na,1,x,1,0\n", published_lists=True),
        "own.csv: 1 subjects without a count in test .a.; write 0, 1",
    ),
    "published list unasked": (
        listed("subject,has_t2,test,train_fold0,val_fold0\na,1,1,1,0\n"),
        "own.csv: the form of the published lists found.*set `split: published`",
    ),
    "seed that is none": (
        pairs("a,a,b,m,1,-5"),
        "own.csv: subject a: seed '-5' and mirrored '1' found, a whole number",
    ),
    "mirrored by a word": (
        pairs("a,a,b,m,yes,1"),
        "own.csv: subject a: seed '1' and mirrored 'yes' found, .*correct",
    ),
}

CASE = "BraTS2021_00000/BraTS2021_00000_t2.nii.gz"


def archive(content):
    def make(folder):
        (folder / "downloads").mkdir()
        (folder / "downloads/own").write_bytes(content)
        return lambda: unpack.unpack("brats21", folder / "downloads", folder / "data/brats21")

    return make


def tar(name, kind=tarfile.REGTYPE, target=""):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as opened:
        for path, kind_of, link in ((CASE, tarfile.REGTYPE, ""), (name, kind, target)):
            member = tarfile.TarInfo(path)
            member.type, member.linkname = kind_of, link
            opened.addfile(member)
    return stream.getvalue()


def zipped(name, mode=stat.S_IFREG):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as opened:
        member = zipfile.ZipInfo(name)
        member.external_attr = mode << 16
        opened.writestr(member, "/etc/passwd")
    return stream.getvalue()


LEADS_OUT = "own: refused, nothing was unpacked: .*leads out of the target folder.*download it again"
ARCHIVES = {
    "archive with a parent folder": (archive(tar(f"../{CASE}")), LEADS_OUT),
    "archive with an absolute path": (archive(tar("/etc/passwd")), LEADS_OUT),
    "zip with a parent folder": (archive(zipped("a/../../b.nii.gz")), LEADS_OUT),
    "zip with a drive": (archive(zipped("C:\\b.nii.gz")), LEADS_OUT),
    "link to outside": (
        archive(tar("a", tarfile.SYMTYPE, "/etc")),
        "own: refused, .*a link, a device or a sparse",
    ),
    "hard link": (
        archive(tar("a", tarfile.LNKTYPE, "/etc/passwd")),
        "own: refused, .*a link, a device or a sparse",
    ),
    "zip with a link": (archive(zipped("a", stat.S_IFLNK | 0o777)), "own: refused, .*a link or a device"),
    "pipe": (archive(tar("a", tarfile.FIFOTYPE)), "own: refused, .*a link, a device or a sparse file"),
    "archive cut short": (
        archive(gzip.compress(tar("a"))[:60]),
        "own: damaged or cut off .*; download it again",
    ),
}
