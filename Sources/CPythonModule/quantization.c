#include "core.h"

// MARK: - quantize

// What quantize was given and what it makes; `release` drops all references.
typedef struct {
    PyArrayObject *weight, *scale, *zero;
    // Codes, or the elements that they stand for.
    PyArrayObject *data;
    swc_quantize_options options;
    swc_quantize_layout layout;
    int64_t block_sizes[MAX_RANK], scale_shape[MAX_RANK];
} quantize_work;

static void release(quantize_work *work) {
    DROP(work->weight);
    DROP(work->data);
    DROP(work->scale);
    DROP(work->zero);
}

static int read_arguments(quantize_work *work, PyObject *arguments, const char *format, int *threads) {
    PyObject *weight, *sizes;
    swc_quantize_options *options = &work->options;
    if (!PyArg_ParseTuple(arguments, format, &weight, &options->mode, &options->nbits, &options->is_signed,
                          &options->reference_arithmetic, &PyTuple_Type, &sizes, threads)) {
        return -1;
    }
    work->weight = dense_float(weight, 1, "weight");
    if (work->weight == NULL)
        return -1;
    Py_ssize_t count = PyTuple_Size(sizes);
    if (count != PyArray_NDIM(work->weight)) {
        PyErr_SetString(PyExc_ValueError, "block_sizes: allowed one for each axis");
        return -1;
    }
    for (Py_ssize_t axis = 0; axis < count; axis++) {
        work->block_sizes[axis] = PyLong_AsLongLong(PyTuple_GetItem(sizes, axis));
        if (work->block_sizes[axis] == -1 && PyErr_Occurred())
            return -1;
    }
    options->block_sizes = work->block_sizes;
    return 0;
}

static int make_outputs(quantize_work *work, int is_dense) {
    int rank = PyArray_NDIM(work->weight), type = work->options.is_signed ? NPY_INT8 : NPY_UINT8;
    work->data =
        new_array(rank, (const int64_t *)PyArray_DIMS(work->weight), is_dense ? PyArray_TYPE(work->weight) : type);
    work->scale = new_array(rank, work->scale_shape, PyArray_TYPE(work->weight));
    if (work->layout.has_zero_point) {
        work->zero = new_array(rank, work->scale_shape, type);
        if (work->zero == NULL)
            return -1;
    }
    return work->data == NULL || work->scale == NULL ? -1 : 0;
}

// The result of `quantize`, or of `round_to_codes`.
static PyObject *quantized(PyObject *module, PyObject *arguments, int is_dense) {
    PyObject *result = NULL;
    double errors[3];
    core_call call;
    int threads;
    quantize_work work = {.weight = NULL};
    work.layout.scale_shape = work.scale_shape;
    if (read_arguments(&work, arguments, is_dense ? "OiippO!i:round_to_codes" : "OiippO!i:quantize", &threads) < 0)
        goto done;
    call_begin(&call, threads);
    swc_tensor weight = tensor_of(work.weight);
    swc_status status = swc_quantize_layout_find(&weight, &work.options, &work.layout, &call.error);
    if (call_check(module, &call, status) < 0 || make_outputs(&work, is_dense) < 0)
        goto done;

    void *data = PyArray_DATA(work.data), *scale = PyArray_DATA(work.scale);
    void *zero = work.zero == NULL ? NULL : PyArray_DATA(work.zero);
    call_leave(&call);
    if (is_dense)
        status = swc_round_to_codes(&weight, &work.options, &call.run, data, scale, zero, errors, &call.error);
    else
        status = swc_quantize(&weight, &work.options, &call.run, data, scale, zero, &call.error);
    call_enter(&call);
    if (call_check(module, &call, status) < 0)
        goto done;
    PyObject *point = work.zero == NULL ? Py_None : (PyObject *)work.zero;
    result = is_dense ? Py_BuildValue("(OOO(ddd))", work.data, work.scale, point, errors[0], errors[1], errors[2])
                      : Py_BuildValue("(OOO)", work.data, work.scale, point);

done:
    release(&work);
    return result;
}

PyDoc_STRVAR(quantize_doc, "quantize(weight, mode, nbits, is_signed, reference_arithmetic, block_sizes, num_threads) "
                           "-> (data, scale, zero_point or None)");

static PyObject *quantize(PyObject *module, PyObject *arguments) { return quantized(module, arguments, 0); }

PyDoc_STRVAR(
    round_to_codes_doc,
    "round_to_codes(weight, mode, nbits, is_signed, reference_arithmetic, block_sizes, num_threads) -> (what the "
    "codes stand for, scale, zero_point or None, (squared error, sum of squares, max error))");

static PyObject *round_to_codes(PyObject *module, PyObject *arguments) { return quantized(module, arguments, 1); }

// MARK: - dequantize

// The codes as they are: int8 or uint8. Sets `is_signed`.
static PyArrayObject *dense_codes(PyObject *object, int *is_signed, const char *name) {
    *is_signed = PyArray_Check(object) && PyArray_TYPE((PyArrayObject *)object) == NPY_INT8;
    return dense_array(object, *is_signed ? NPY_INT8 : NPY_UINT8, name);
}

PyDoc_STRVAR(dequantize_doc, "dequantize(data, scale, zero_point or None, num_threads) -> array in the type of scale");

static PyObject *dequantize(PyObject *module, PyObject *arguments) {
    PyObject *data_object, *scale_object, *zero_object;
    PyArrayObject *data = NULL, *scale = NULL, *zero = NULL, *output = NULL;
    int threads, is_signed, zero_signed;
    core_call call;
    if (!PyArg_ParseTuple(arguments, "OOOi:dequantize", &data_object, &scale_object, &zero_object, &threads))
        return NULL;
    data = dense_codes(data_object, &is_signed, "data");
    scale = dense_float(scale_object, 1, "scale");
    if (data == NULL || scale == NULL)
        goto done;
    if (PyArray_NDIM(scale) != PyArray_NDIM(data)) {
        PyErr_SetString(PyExc_ValueError, "[decompress] scale: allowed as many dimensions as data");
        goto done;
    }
    if (zero_object != Py_None) {
        zero = dense_codes(zero_object, &zero_signed, "zero_point");
        if (zero == NULL || check_size(zero, PyArray_SIZE(scale), "zero_point") < 0)
            goto done;
        if (zero_signed != is_signed) {
            PyErr_SetString(PyExc_ValueError, "[decompress] zero_point: allowed the type of data");
            goto done;
        }
    }
    output = new_array(PyArray_NDIM(data), (const int64_t *)PyArray_DIMS(data), PyArray_TYPE(scale));
    if (output == NULL)
        goto done;

    swc_tensor factors = tensor_of(scale);
    call_begin(&call, threads);
    call_leave(&call);
    swc_status status =
        swc_dequantize(PyArray_DATA(data), is_signed, (const int64_t *)PyArray_DIMS(data), &factors,
                       zero == NULL ? NULL : PyArray_DATA(zero), &call.run, PyArray_DATA(output), &call.error);
    call_enter(&call);
    if (call_check(module, &call, status) < 0)
        Py_CLEAR(output);

done:
    DROP(data);
    DROP(scale);
    DROP(zero);
    return (PyObject *)output;
}

PyMethodDef quantization_methods[] = {
    {"quantize", quantize, METH_VARARGS, quantize_doc},
    {"round_to_codes", round_to_codes, METH_VARARGS, round_to_codes_doc},
    {"dequantize", dequantize, METH_VARARGS, dequantize_doc},
    {NULL, NULL, 0, NULL},
};
