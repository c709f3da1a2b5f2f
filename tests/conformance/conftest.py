"""The peers and the reproductions run in the environments of the peers alone."""

collect_ignore = ["peers", "reproductions"]
