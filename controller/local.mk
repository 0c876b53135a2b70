controller_core =

controller_io =
