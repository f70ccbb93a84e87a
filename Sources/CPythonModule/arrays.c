#include "core.h"

PyArrayObject *dense_array(PyObject *object, int type, const char *name) {
    PyArray_Descr *wanted = PyArray_DescrFromType(type);
    if (wanted == NULL)
        return NULL;
    // PyArray_FromAny takes over the reference to `wanted`.
    PyObject *array = PyArray_FromAny(object, wanted, 0, 0, NPY_ARRAY_CARRAY_RO | NPY_ARRAY_NOTSWAPPED, NULL);
    if (array == NULL && PyErr_ExceptionMatches(PyExc_TypeError)) {
        PyErr_Clear();
        PyErr_Format(PyExc_TypeError, "%s: found an array whose values do not all fit the element type needed", name);
    }
    return (PyArrayObject *)array;
}

PyArrayObject *dense_float(PyObject *object, int half, const char *name) {
    int type = PyArray_Check(object) ? PyArray_TYPE((PyArrayObject *)object) : NPY_NOTYPE;
    if (type == NPY_FLOAT || type == NPY_DOUBLE || (half && type == NPY_HALF))
        return dense_array(object, type, name);
    PyErr_Format(PyExc_TypeError, "%s: found %R, allowed an array of %sfloat32 or float64", name, Py_TYPE(object),
                 half ? "float16, " : "");
    return NULL;
}

int32_t float_type_of(PyArrayObject *array) {
    switch (PyArray_TYPE(array)) {
    case NPY_HALF:
        return SWC_FLOAT16;
    case NPY_FLOAT:
        return SWC_FLOAT32;
    default:
        return SWC_FLOAT64;
    }
}

swc_tensor tensor_of(PyArrayObject *array) {
    return (swc_tensor){.data = PyArray_DATA(array),
                        .type = float_type_of(array),
                        .rank = PyArray_NDIM(array),
                        .shape = (const int64_t *)PyArray_DIMS(array)};
}

PyArrayObject *new_array(int rank, const int64_t *shape, int type) {
    return (PyArrayObject *)PyArray_SimpleNew(rank, (const npy_intp *)shape, type);
}

int check_size(PyArrayObject *array, npy_intp count, const char *name) {
    npy_intp found = PyArray_SIZE(array);
    if (found == count)
        return 0;
    PyErr_Format(PyExc_ValueError, "%s: found %zd elements, allowed %zd", name, (Py_ssize_t)found, (Py_ssize_t)count);
    return -1;
}
