"""Must-show: a hostile client over HTTP/2 costs bounded memory, and an honest one beside it is served."""
