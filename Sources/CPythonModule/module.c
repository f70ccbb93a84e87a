#define SWIFTCOMPRESS_IMPORTS_NUMPY
#include "cpython.h"
#include "swiftcompress.h"

static PyObject *abi_version(PyObject *self, PyObject *noArguments) {
    (void)self, (void)noArguments;
    return PyLong_FromLong(swc_abi_version());
}
static PyMethodDef methods[] = {{"abi_version", abi_version, METH_NOARGS, NULL}, {NULL, NULL, 0, NULL}};
static int execute(PyObject *module) {
    import_array1(-1);
    return PyModule_AddIntConstant(module, "ABI_VERSION", SWC_ABI_VERSION);
}
static PyModuleDef_Slot slots[] = {{Py_mod_exec, (void *)execute}, {0, NULL}};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_core", NULL, 0, methods, slots, NULL, NULL, NULL};
PyMODINIT_FUNC PyInit__core(void) { return PyModuleDef_Init(&definition); }
