//! Hooks around `fork`.

/// Runs `prepare` before each fork, `parent` and `child` after it. `false`: the system has no room for the hooks.
pub(crate) fn register(prepare: extern "C" fn(), parent: extern "C" fn(), child: extern "C" fn()) -> bool {
    // SAFETY: the functions live as long as the process.
    unsafe {
        libc::pthread_atfork(
            Some(as_unsafe(prepare)),
            Some(as_unsafe(parent)),
            Some(as_unsafe(child)),
        ) == 0
    }
}

fn as_unsafe(hook: extern "C" fn()) -> unsafe extern "C" fn() {
    hook
}
