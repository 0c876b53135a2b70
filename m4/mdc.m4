# MDC_ENABLE(NAME, HELP): a switch that is off by default.
AC_DEFUN([MDC_ENABLE], [
	AC_ARG_ENABLE([$1], [AS_HELP_STRING([--enable-$1], [$2])], [], [enable_$1=no])
	AM_CONDITIONAL(m4_toupper([ENABLE_$1]), [test "$enable_$1" = yes])
	AC_SUBST([enable_$1])
	mdc_switches="$mdc_switches $1=$enable_$1"
])

# MDC_MISSING(WHAT, DEBIAN PACKAGES, FEDORA PACKAGES): remember it, so that one run names everything.
AC_DEFUN([MDC_MISSING], [
	mdc_missing="$mdc_missing
  m4_normalize([$1])
      Debian: apt-get install $2
      Fedora: dnf install $3"
	mdc_missing_debian="$mdc_missing_debian $2"
	mdc_missing_fedora="$mdc_missing_fedora $3"
])

# MDC_REQUIRE(VAR, MODULES, DEBIAN PACKAGES, FEDORA PACKAGES)
AC_DEFUN([MDC_REQUIRE], [
	PKG_CHECK_MODULES([$1], [$2], [], [MDC_MISSING([$2], [$3], [$4])])
])

# MDC_FEATURE(NAME, VAR, WHAT FOR, MODULES, DEBIAN PACKAGES, FEDORA PACKAGES)
# --with-NAME insists, --without-NAME leaves it out, neither takes it when it is there.
AC_DEFUN([MDC_FEATURE], [
	AC_ARG_WITH([$1], [AS_HELP_STRING([--with-$1], [$3 (default: when found)])], [], [with_$1=auto])
	have_$1=no
	mdc_why_$1="switched off"
	AS_IF([test "$with_$1" != no], [
		PKG_CHECK_MODULES([$2], [$4], [have_$1=yes], [
			mdc_why_$1="not found, Debian: $5; Fedora: $6"
			AS_IF([test "$with_$1" != auto], [MDC_MISSING([$4, for --with-$1], [$5], [$6])])
		])
	])
	AS_IF([test "$have_$1" = yes], [
		mdc_why_$1=""
		AC_DEFINE([HAVE_$2], [1], [$3])
	])
	AM_CONDITIONAL([HAVE_$2], [test "$have_$1" = yes])
	m4_append([mdc_feature_lines], [
	mdc_feature_line "$1" "$have_$1" "$3" "$mdc_why_$1"])
])

# MDC_MISSING_STOP: end here if anything was missing.
AC_DEFUN([MDC_MISSING_STOP], [
	AS_IF([test -n "$mdc_missing"], [
		AC_MSG_ERROR([libraries are missing:
$mdc_missing

All of them
  Debian: apt-get install$mdc_missing_debian
  Fedora: dnf install$mdc_missing_fedora])
	])
])

# MDC_SUMMARY: what was configured, and what to install for the rest.
AC_DEFUN([MDC_SUMMARY], [
mdc_feature_line() {
	AS_IF([test -n "$][4"],
		[printf '  %-10s %-4s %s (%s)\n' "$][1" "$][2" "$][3" "$][4"],
		[printf '  %-10s %-4s %s\n' "$][1" "$][2" "$][3"])
}
AS_ECHO(["
$PACKAGE_NAME $PACKAGE_VERSION
  prefix     $prefix
  compiler   $CC $CFLAGS
  switches  $mdc_switches"])
mdc_feature_lines
AS_ECHO([""])
])
