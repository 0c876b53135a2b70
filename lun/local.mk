lun_io =
