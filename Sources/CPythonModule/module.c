#define SWIFTCOMPRESS_IMPORTS_NUMPY
#include "core.h"

core_state *state_of(PyObject *module) { return PyModule_GetState(module); }

static PyObject *abi_version(PyObject *module, PyObject *no_arguments) {
    (void)module, (void)no_arguments;
    return PyLong_FromLong(swc_abi_version());
}

static PyMethodDef module_methods[] = {
    {"abi_version", abi_version, METH_NOARGS, PyDoc_STR("abi_version() -> int: that of the engine library")},
    {NULL, NULL, 0, NULL},
};

static int add_format_error(PyObject *module) {
    core_state *state = state_of(module);
    state->format_error = PyErr_NewExceptionWithDoc(
        "swiftcompress.ModelFormatError",
        PyDoc_STR(
            "A package is damaged, or of a kind that is not known; says the file, the place and what was expected."),
        PyExc_ValueError, NULL);
    if (state->format_error == NULL)
        return -1;
    return PyModule_AddObjectRef(module, "ModelFormatError", state->format_error);
}

static int execute(PyObject *module) {
    PyMethodDef *topics[] = {module_methods,    palettization_methods, quantization_methods, pruning_methods,
                             layerwise_methods, kmeans_methods,        statistics_methods,   packing_methods,
                             packages_methods,  compression_methods};
    import_array1(-1);
    for (size_t topic = 0; topic < sizeof topics / sizeof *topics; topic++) {
        if (PyModule_AddFunctions(module, topics[topic]) < 0)
            return -1;
    }
    if (PyModule_AddStringConstant(module, "VERSION", SWC_VERSION) < 0)
        return -1;
    if (PyModule_AddIntConstant(module, "ABI_VERSION", SWC_ABI_VERSION) < 0)
        return -1;
    return add_format_error(module);
}

static int traverse(PyObject *module, visitproc visit, void *arg) {
    core_state *state = state_of(module);
    if (state != NULL)
        Py_VISIT(state->format_error);
    return 0;
}

static int clear(PyObject *module) {
    core_state *state = state_of(module);
    if (state != NULL)
        Py_CLEAR(state->format_error);
    return 0;
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, (void *)execute}, {0, NULL}};

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "_core",
    .m_doc = PyDoc_STR("The C door to the Swift engine. Private: use swiftcompress."),
    .m_size = sizeof(core_state),
    .m_slots = slots,
    .m_traverse = traverse,
    .m_clear = clear,
};

PyMODINIT_FUNC PyInit__core(void) { return PyModuleDef_Init(&definition); }
