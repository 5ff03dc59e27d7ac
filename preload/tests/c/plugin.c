/* A plug-in that allocates when it is loaded and while it is there, and frees when it is closed.
 * With HUNGRY it takes most of the room for thread-local slots that the loader keeps for late
 * objects. */
#include <stdlib.h>
#include <string.h>

static char *held[64];
__attribute__((constructor)) static void comes(void) { for (int i = 0; i < 64; i++) held[i] = strdup("held by the plug-in"); }
__attribute__((destructor)) static void goes(void) { for (int i = 0; i < 64; i++) free(held[i]); }
#ifdef HUNGRY
__thread char slots[HUNGRY] __attribute__((tls_model("initial-exec")));
char *plugin_slots(void) { return slots; }
#endif
void *plugin_make(size_t n) { return malloc(n); }
void plugin_drop(void *p) { free(p); }
