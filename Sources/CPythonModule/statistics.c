#include "core.h"

PyDoc_STRVAR(weight_statistics_doc,
             "weight_statistics(weight, num_threads) -> (elements near zero, distinct values) of a float16, float32, "
             "float64 or uint8 array");

static PyObject *weight_statistics(PyObject *module, PyObject *arguments) {
    PyObject *object, *result = NULL;
    PyArrayObject *weight = NULL;
    int threads;
    int64_t near_zero = 0, distinct = 0;
    core_call call;
    if (!PyArg_ParseTuple(arguments, "Oi:weight_statistics", &object, &threads))
        return NULL;
    int is_byte = PyArray_Check(object) && PyArray_TYPE((PyArrayObject *)object) == NPY_UINT8;
    call_begin(&call, threads);
    weight = is_byte ? dense_array(object, NPY_UINT8, "weight") : dense_float(object, 1, "weight");
    if (weight == NULL)
        goto done;
    int32_t type = is_byte ? SWC_BYTE : float_type_of(weight);
    int64_t count = PyArray_SIZE(weight);

    call_leave(&call);
    swc_status status =
        swc_weight_statistics(PyArray_DATA(weight), count, type, &call.run, &near_zero, &distinct, &call.error);
    call_enter(&call);
    if (call_check(module, &call, status) == 0)
        result = Py_BuildValue("(LL)", (long long)near_zero, (long long)distinct);

done:
    DROP(weight);
    return result;
}

PyMethodDef statistics_methods[] = {
    {"weight_statistics", weight_statistics, METH_VARARGS, weight_statistics_doc},
    {NULL, NULL, 0, NULL},
};
