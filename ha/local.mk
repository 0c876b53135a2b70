ha_core =

ha_io =
