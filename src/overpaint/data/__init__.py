"""Rows, captions and pictures that others wrote: files, cells and parquet, read with care."""
