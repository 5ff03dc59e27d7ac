/* The plug-in that takes most of the room for thread-local slots. */
#include "plugin.c"
