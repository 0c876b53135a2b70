journal_core =

journal_io =
