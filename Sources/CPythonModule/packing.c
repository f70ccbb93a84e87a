#include "core.h"

PyDoc_STRVAR(pack_bits_doc, "pack_bits(codes, nbits): int8 or uint8 codes -> flat uint8 array");

static PyObject *pack_bits(PyObject *module, PyObject *arguments) {
    PyObject *object;
    PyArrayObject *codes = NULL, *packed = NULL;
    int nbits;
    core_call call;
    if (!PyArg_ParseTuple(arguments, "Oi:pack_bits", &object, &nbits))
        return NULL;
    int is_signed = PyArray_Check(object) && PyArray_TYPE((PyArrayObject *)object) == NPY_INT8;
    call_begin(&call, 1);
    codes = dense_array(object, is_signed ? NPY_INT8 : NPY_UINT8, "codes");
    if (codes == NULL)
        goto done;
    int64_t count = PyArray_SIZE(codes);
    int64_t bytes = count / 8 * nbits + (count % 8 * nbits + 7) / 8;
    packed = new_array(1, &bytes, NPY_UINT8);
    if (packed == NULL)
        goto done;

    call_leave(&call);
    swc_status status = swc_pack_bits(PyArray_DATA(codes), count, nbits, is_signed, PyArray_DATA(packed), &call.error);
    call_enter(&call);
    if (call_check(module, &call, status) < 0)
        Py_CLEAR(packed);

done:
    DROP(codes);
    return (PyObject *)packed;
}

PyDoc_STRVAR(unpack_bits_doc, "unpack_bits(packed, nbits, count, is_signed): flat uint8 (or int8) array of codes");

static PyObject *unpack_bits(PyObject *module, PyObject *arguments) {
    PyObject *object;
    PyArrayObject *packed = NULL, *codes = NULL;
    int nbits, is_signed;
    Py_ssize_t given;
    core_call call;
    if (!PyArg_ParseTuple(arguments, "Oinp:unpack_bits", &object, &nbits, &given, &is_signed))
        return NULL;
    int64_t count = given;
    call_begin(&call, 1);
    packed = dense_array(object, NPY_UINT8, "packed");
    if (packed == NULL)
        goto done;
    codes = new_array(1, &count, is_signed ? NPY_INT8 : NPY_UINT8);
    if (codes == NULL)
        goto done;

    call_leave(&call);
    swc_status status = swc_unpack_bits(PyArray_DATA(packed), PyArray_SIZE(packed), count, nbits, is_signed,
                                        PyArray_DATA(codes), &call.error);
    call_enter(&call);
    if (call_check(module, &call, status) < 0)
        Py_CLEAR(codes);

done:
    DROP(packed);
    return (PyObject *)codes;
}

PyMethodDef packing_methods[] = {
    {"pack_bits", pack_bits, METH_VARARGS, pack_bits_doc},
    {"unpack_bits", unpack_bits, METH_VARARGS, unpack_bits_doc},
    {NULL, NULL, 0, NULL},
};
