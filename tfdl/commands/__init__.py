"""The commands of `tfdl`, one file each: `main(argv) -> exit code`.  They load TensorFlow only once they need it."""
