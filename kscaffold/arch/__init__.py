"""What differs between processor architectures: one record and one data file each."""
