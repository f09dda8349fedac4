"""The paper's figures, each as a function from arrays and tables to a matplotlib Figure."""
