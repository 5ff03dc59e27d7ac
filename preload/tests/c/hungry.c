/* The plug-in that leaves little room for thread-local slots. */
#include "plugin.c"
