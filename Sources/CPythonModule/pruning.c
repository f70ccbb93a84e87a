#include "core.h"

// MARK: - prune

// The elements that stay: a new array in C order.
static PyArrayObject *gather(PyObject *module, core_call *call, PyArrayObject *weight, PyArrayObject *mask,
                             int64_t kept) {
    PyArrayObject *nonzero = new_array(1, &kept, PyArray_TYPE(weight));
    if (nonzero == NULL)
        return NULL;
    swc_tensor tensor = tensor_of(weight);
    call_leave(call);
    swc_status status =
        swc_gather_nonzero(&tensor, PyArray_DATA(mask), &call->run, PyArray_DATA(nonzero), &call->error);
    call_enter(call);
    if (call_check(module, call, status) < 0)
        Py_CLEAR(nonzero);
    return nonzero;
}

PyDoc_STRVAR(prune_doc,
             "prune(weight, method, target_sparsity, threshold, minimum_sparsity, block_size, n, m, dim, num_threads) "
             "-> (mask, nonzero_data)");

static PyObject *prune(PyObject *module, PyObject *arguments) {
    PyObject *object, *result = NULL;
    PyArrayObject *weight = NULL, *mask = NULL, *nonzero = NULL;
    swc_prune_options options;
    Py_ssize_t block_size, n, m;
    int threads;
    core_call call;
    if (!PyArg_ParseTuple(arguments, "Oidddnnnii:prune", &object, &options.method, &options.target_sparsity,
                          &options.threshold, &options.minimum_sparsity, &block_size, &n, &m, &options.dim, &threads)) {
        return NULL;
    }
    options.block_size = block_size;
    options.n = n;
    options.m = m;
    weight = dense_float(object, 1, "weight");
    if (weight == NULL)
        goto done;
    mask = new_array(PyArray_NDIM(weight), (const int64_t *)PyArray_DIMS(weight), NPY_UINT8);
    if (mask == NULL)
        goto done;

    swc_tensor tensor = tensor_of(weight);
    int64_t kept = 0;
    call_begin(&call, threads);
    call_leave(&call);
    swc_status status = swc_prune(&tensor, &options, &call.run, PyArray_DATA(mask), &kept, &call.error);
    call_enter(&call);
    if (call_check(module, &call, status) < 0)
        goto done;
    nonzero = gather(module, &call, weight, mask, kept);
    if (nonzero != NULL)
        result = Py_BuildValue("(OO)", mask, nonzero);

done:
    DROP(weight);
    DROP(mask);
    DROP(nonzero);
    return result;
}

// MARK: - scatter_nonzero

PyDoc_STRVAR(scatter_nonzero_doc,
             "scatter_nonzero(nonzero, mask, num_threads) -> array of the mask's shape, zero where the mask is");

static PyObject *scatter_nonzero(PyObject *module, PyObject *arguments) {
    PyObject *nonzero_object, *mask_object;
    PyArrayObject *nonzero = NULL, *mask = NULL, *output = NULL;
    int threads;
    core_call call;
    if (!PyArg_ParseTuple(arguments, "OOi:scatter_nonzero", &nonzero_object, &mask_object, &threads))
        return NULL;
    nonzero = dense_float(nonzero_object, 1, "nonzero_data");
    mask = dense_array(mask_object, NPY_UINT8, "mask");
    if (nonzero == NULL || mask == NULL)
        goto done;
    output = new_array(PyArray_NDIM(mask), (const int64_t *)PyArray_DIMS(mask), PyArray_TYPE(nonzero));
    if (output == NULL)
        goto done;

    call_begin(&call, threads);
    call_leave(&call);
    swc_status status =
        swc_scatter_nonzero(PyArray_DATA(nonzero), PyArray_SIZE(nonzero), (int32_t)PyArray_ITEMSIZE(nonzero),
                            PyArray_DATA(mask), PyArray_SIZE(mask), &call.run, PyArray_DATA(output), &call.error);
    call_enter(&call);
    if (call_check(module, &call, status) < 0)
        Py_CLEAR(output);

done:
    DROP(nonzero);
    DROP(mask);
    return (PyObject *)output;
}

PyMethodDef pruning_methods[] = {
    {"prune", prune, METH_VARARGS, prune_doc},
    {"scatter_nonzero", scatter_nonzero, METH_VARARGS, scatter_nonzero_doc},
    {NULL, NULL, 0, NULL},
};
