/* A Python module that allocates below a chain of functions. Only its symbol table names them. */
#include <Python.h>
#include <stdlib.h>
#include <string.h>

static void *kept;
static volatile int deeper = 1;

__attribute__((noinline)) static void keep_one(size_t size) {
    void **block = malloc(size);
    memset(block, 1, size);
    *block = kept;
    kept = block;
}

/* Each function calls the next one, and still has work to do when that returns: no tail call. */
#define STEP(name, next) \
    __attribute__((noinline)) static void name(size_t size) { next(size); deeper++; }
STEP(step_24, keep_one)
STEP(step_23, step_24) STEP(step_22, step_23) STEP(step_21, step_22) STEP(step_20, step_21)
STEP(step_19, step_20) STEP(step_18, step_19) STEP(step_17, step_18) STEP(step_16, step_17)
STEP(step_15, step_16) STEP(step_14, step_15) STEP(step_13, step_14) STEP(step_12, step_13)
STEP(step_11, step_12) STEP(step_10, step_11) STEP(step_9, step_10) STEP(step_8, step_9)
STEP(step_7, step_8) STEP(step_6, step_7) STEP(step_5, step_6) STEP(step_4, step_5)
STEP(step_3, step_4) STEP(step_2, step_3) STEP(step_1, step_2)

static PyObject *keep(PyObject *module, PyObject *count) {
    for (long i = PyLong_AsLong(count); i > 0; i--) step_1(5000);
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {{"keep", keep, METH_O, "Keeps the given number of blocks."}, {0}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "extension", 0, -1, methods};
PyMODINIT_FUNC PyInit_extension(void) { return PyModule_Create(&module); }
