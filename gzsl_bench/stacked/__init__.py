"""The toolkit that lets a method train many seeds or settings as one."""
