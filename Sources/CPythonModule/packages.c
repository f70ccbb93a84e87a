#include "core.h"

#include <string.h>

static const char *const capsule_name = "swiftcompress.package";

static swc_package *package_of(PyObject *capsule) { return PyCapsule_GetPointer(capsule, capsule_name); }

static void close_capsule(PyObject *capsule) { swc_package_close(package_of(capsule)); }

PyDoc_STRVAR(package_open_doc, "package_open(path: bytes) -> capsule; closes when the last reference to it goes");

static PyObject *package_open(PyObject *module, PyObject *arguments) {
    const char *path;
    swc_package *package = NULL;
    core_call call;
    if (!PyArg_ParseTuple(arguments, "y:package_open", &path))
        return NULL;
    call_begin(&call, 0);
    call_leave(&call);
    swc_status status = swc_package_open(path, &package, &call.error);
    call_enter(&call);
    if (call_check(module, &call, status) < 0)
        return NULL;
    PyObject *capsule = PyCapsule_New(package, capsule_name, close_capsule);
    if (capsule == NULL)
        swc_package_close(package);
    return capsule;
}

PyDoc_STRVAR(package_describe_doc, "package_describe(capsule, part) -> JSON as bytes");

static PyObject *package_describe(PyObject *module, PyObject *arguments) {
    PyObject *capsule, *result = NULL;
    int part;
    swc_text json = {NULL, 0};
    core_call call;
    if (!PyArg_ParseTuple(arguments, "Oi:package_describe", &capsule, &part))
        return NULL;
    swc_package *package = package_of(capsule);
    if (package == NULL)
        return NULL;
    call_begin(&call, 0);
    call_leave(&call);
    swc_status status = swc_package_describe(package, part, &json, &call.error);
    call_enter(&call);
    if (call_check(module, &call, status) == 0)
        result = PyBytes_FromStringAndSize(json.data, (Py_ssize_t)json.length);
    swc_text_free(&json);
    return result;
}

PyDoc_STRVAR(package_tensor_doc,
             "package_tensor(capsule, number) -> read-only uint8 view of the stored bytes, which keeps "
             "the package open");

static PyObject *package_tensor(PyObject *module, PyObject *arguments) {
    PyObject *capsule;
    long long number;
    const void *data = NULL;
    size_t bytes = 0;
    core_call call;
    if (!PyArg_ParseTuple(arguments, "OL:package_tensor", &capsule, &number))
        return NULL;
    swc_package *package = package_of(capsule);
    if (package == NULL)
        return NULL;
    call_begin(&call, 0);
    call_leave(&call);
    swc_status status = swc_package_tensor(package, number, &data, &bytes, &call.error);
    call_enter(&call);
    if (call_check(module, &call, status) < 0)
        return NULL;
    npy_intp count = (npy_intp)bytes;
    if (data == NULL)
        return PyArray_SimpleNew(1, &count, NPY_UINT8);
    PyArrayObject *array = (PyArrayObject *)PyArray_SimpleNewFromData(1, &count, NPY_UINT8, (void *)data);
    if (array == NULL)
        return NULL;
    PyArray_CLEARFLAGS(array, NPY_ARRAY_WRITEABLE);
    // Takes over the reference, also when it fails.
    if (PyArray_SetBaseObject(array, Py_NewRef(capsule)) < 0) {
        DROP(array);
        return NULL;
    }
    return (PyObject *)array;
}

PyDoc_STRVAR(
    package_decompress_doc,
    "package_decompress(capsule, name: bytes, function: bytes) -> (JSON as bytes, uint8 array of the elements)");

static PyObject *package_decompress(PyObject *module, PyObject *arguments) {
    PyObject *capsule, *result = NULL;
    PyArrayObject *elements = NULL;
    const char *name, *function;
    swc_text json = {NULL, 0}, dense = {NULL, 0};
    core_call call;
    if (!PyArg_ParseTuple(arguments, "Oyy:package_decompress", &capsule, &name, &function))
        return NULL;
    swc_package *package = package_of(capsule);
    if (package == NULL)
        return NULL;
    call_begin(&call, 0);
    call_leave(&call);
    swc_status status = swc_package_decompress(package, name, function, &json, &dense, &call.error);
    call_enter(&call);
    if (call_check(module, &call, status) < 0)
        goto done;
    int64_t count = (int64_t)dense.length;
    elements = new_array(1, &count, NPY_UINT8);
    if (elements == NULL)
        goto done;
    if (count > 0)
        memcpy(PyArray_DATA(elements), dense.data, dense.length);
    result = Py_BuildValue("(y#O)", json.data, (Py_ssize_t)json.length, elements);

done:
    DROP(elements);
    swc_text_free(&json);
    swc_text_free(&dense);
    return result;
}

PyDoc_STRVAR(package_save_doc, "package_save(capsule, path: bytes)");

static PyObject *package_save(PyObject *module, PyObject *arguments) {
    PyObject *capsule;
    const char *path;
    core_call call;
    if (!PyArg_ParseTuple(arguments, "Oy:package_save", &capsule, &path))
        return NULL;
    swc_package *package = package_of(capsule);
    if (package == NULL)
        return NULL;
    call_begin(&call, 0);
    call_leave(&call);
    swc_status status = swc_package_save(package, path, &call.error);
    call_enter(&call);
    if (call_check(module, &call, status) < 0)
        return NULL;
    Py_RETURN_NONE;
}

PyMethodDef packages_methods[] = {
    {"package_open", package_open, METH_VARARGS, package_open_doc},
    {"package_describe", package_describe, METH_VARARGS, package_describe_doc},
    {"package_tensor", package_tensor, METH_VARARGS, package_tensor_doc},
    {"package_decompress", package_decompress, METH_VARARGS, package_decompress_doc},
    {"package_save", package_save, METH_VARARGS, package_save_doc},
    {NULL, NULL, 0, NULL},
};
