#include "core.h"

#include <string.h>

// MARK: - palettize

// What palettize was given and what it makes; `release` drops all references.
typedef struct {
    PyArrayObject *weight, *importance, *mask, *lut, *indices, *scale;
    swc_palettize_options options;
    swc_palette_layout layout;
    int64_t lut_shape[MAX_RANK + 2], indices_shape[MAX_RANK], scale_shape[MAX_RANK];
    lut_context lut_context;
} palettize_work;

static void release(palettize_work *work) {
    DROP(work->weight);
    DROP(work->importance);
    DROP(work->mask);
    DROP(work->lut);
    DROP(work->indices);
    DROP(work->scale);
    lut_context_clear(&work->lut_context);
}

static int read_arguments(palettize_work *work, PyObject *arguments, int *threads) {
    PyObject *weight, *importance, *mask, *lut_function;
    swc_palettize_options *options = &work->options;
    Py_ssize_t group_size, channel_axis, cluster_dim;
    unsigned long long seed;
    if (!PyArg_ParseTuple(arguments, "OiinnniKOOOi|pi:palettize", &weight, &options->mode, &options->nbits, &group_size,
                          &channel_axis, &cluster_dim, &options->per_channel_scale, &seed, &importance, &mask,
                          &lut_function, threads, &options->any_optimum, &options->starts)) {
        return -1;
    }
    options->group_size = group_size;
    options->channel_axis = channel_axis;
    options->cluster_dim = cluster_dim;
    options->seed = seed;
    work->weight = dense_float(weight, 1, "weight");
    if (work->weight == NULL)
        return -1;
    npy_intp count = PyArray_SIZE(work->weight);
    if (importance != Py_None) {
        work->importance = dense_float(importance, 0, "importance");
        if (work->importance == NULL || check_size(work->importance, count, "importance") < 0)
            return -1;
    }
    if (mask != Py_None) {
        work->mask = dense_array(mask, NPY_UINT8, "mask");
        if (work->mask == NULL || check_size(work->mask, count, "mask") < 0)
            return -1;
    }
    if (lut_function != Py_None) {
        work->lut_context.function = lut_function;
        options->lut_function = answer_lut;
        options->lut_context = &work->lut_context;
    }
    return 0;
}

static int make_outputs(palettize_work *work) {
    int rank = PyArray_NDIM(work->weight), type = PyArray_TYPE(work->weight);
    work->lut = new_array(rank + 2, work->lut_shape, type);
    work->indices = new_array(rank, work->indices_shape, NPY_UINT8);
    if (work->options.per_channel_scale != SWC_NO_SCALE) {
        work->scale = new_array(rank, work->scale_shape, type);
        if (work->scale == NULL)
            return -1;
    }
    return work->lut == NULL || work->indices == NULL ? -1 : 0;
}

// A lookup table function may have needed fewer entries than there was room for.
static int trim_lut(palettize_work *work) {
    int rank = PyArray_NDIM(work->lut);
    if (PyArray_DIM(work->lut, rank - 2) == work->lut_shape[rank - 2])
        return 0;
    PyArrayObject *trimmed = new_array(rank, work->lut_shape, PyArray_TYPE(work->lut));
    if (trimmed == NULL)
        return -1;
    memcpy(PyArray_DATA(trimmed), PyArray_DATA(work->lut), PyArray_NBYTES(trimmed));
    Py_DECREF(work->lut);
    work->lut = trimmed;
    return 0;
}

static PyObject *optional(PyArrayObject *array) { return array == NULL ? Py_None : (PyObject *)array; }

PyDoc_STRVAR(
    palettize_doc,
    "palettize(weight, mode, nbits, group_size, channel_axis, cluster_dim, per_channel_scale, seed, importance, "
    "mask, lut_function, num_threads, any_optimum=False, starts=1) -> (lut, indices, scale or None, nbits, vector_axis "
    "or -1)");

static PyObject *palettize(PyObject *module, PyObject *arguments) {
    PyObject *result = NULL;
    core_call call;
    int threads;
    palettize_work work = {.layout = {.nbits = 0}};
    work.layout.lut_shape = work.lut_shape;
    work.layout.indices_shape = work.indices_shape;
    work.layout.scale_shape = work.scale_shape;
    work.lut_context.call = &call;
    if (read_arguments(&work, arguments, &threads) < 0)
        goto done;
    call_begin(&call, threads);
    swc_tensor weight = tensor_of(work.weight);
    const uint8_t *mask = work.mask == NULL ? NULL : PyArray_DATA(work.mask);

    call_leave(&call);
    swc_status status = swc_palette_layout_find(&weight, &work.options, mask, &call.run, &work.layout, &call.error);
    call_enter(&call);
    if (call_check(module, &call, status) < 0 || make_outputs(&work) < 0)
        goto done;

    const void *importance = work.importance == NULL ? NULL : PyArray_DATA(work.importance);
    int32_t importance_type = work.importance == NULL ? SWC_FLOAT64 : float_type_of(work.importance);
    void *scale = work.scale == NULL ? NULL : PyArray_DATA(work.scale);
    call_leave(&call);
    status = swc_palettize(&weight, &work.options, importance, importance_type, mask, &call.run, &work.layout,
                           PyArray_DATA(work.lut), PyArray_DATA(work.indices), scale, &call.error);
    call_enter(&call);
    if (call_check(module, &call, status) < 0 || trim_lut(&work) < 0)
        goto done;
    result = Py_BuildValue("(OOOii)", work.lut, work.indices, optional(work.scale), work.layout.nbits,
                           work.layout.vector_axis);

done:
    release(&work);
    return result;
}

// MARK: - unpalettize

// The output's shape: that of the codes, `entry` times longer along `axis`.
static int dense_shape(PyArrayObject *indices, int64_t axis, int64_t entry, int64_t *shape) {
    int rank = PyArray_NDIM(indices);
    for (int dimension = 0; dimension < rank; dimension++)
        shape[dimension] = PyArray_DIM(indices, dimension);
    if (entry == 1)
        return 0;
    if (axis < 0 || axis >= rank) {
        PyErr_SetString(PyExc_ValueError, "[decompress] vector_axis: allowed an axis of indices");
        return -1;
    }
    if (__builtin_mul_overflow(shape[axis], entry, &shape[axis])) {
        PyErr_SetString(PyExc_ValueError, "[decompress] lut: the expanded array would be too large");
        return -1;
    }
    return 0;
}

typedef struct {
    PyArrayObject *lut, *indices, *scale, *mask, *kept;
    int64_t shape[MAX_RANK];
} unpalettize_work;

// Reads the arrays and makes sure that their sizes fit; the engine checks their shapes.
static int read_parts(unpalettize_work *work, PyObject *arguments, Py_ssize_t *vector_axis, int *threads) {
    PyObject *lut, *indices, *scale, *mask, *kept;
    if (!PyArg_ParseTuple(arguments, "OOnOOOi:unpalettize", &lut, &indices, vector_axis, &scale, &mask, &kept,
                          threads)) {
        return -1;
    }
    work->lut = dense_float(lut, 1, "lut");
    work->indices = dense_array(indices, NPY_UINT8, "indices");
    if (work->lut == NULL || work->indices == NULL)
        return -1;
    int rank = PyArray_NDIM(work->indices), type = PyArray_TYPE(work->lut);
    if (PyArray_NDIM(work->lut) != rank + 2) {
        PyErr_SetString(PyExc_ValueError, "[decompress] lut: allowed two dimensions more than indices");
        return -1;
    }
    if (dense_shape(work->indices, *vector_axis, PyArray_DIM(work->lut, rank + 1), work->shape) < 0)
        return -1;
    if (scale != Py_None && (work->scale = dense_array(scale, type, "scale")) == NULL)
        return -1;
    if (mask == Py_None)
        return 0;
    work->mask = dense_array(mask, NPY_UINT8, "mask");
    work->kept = dense_array(kept, type, "kept_values");
    if (work->mask == NULL || work->kept == NULL)
        return -1;
    npy_intp count = PyArray_SIZE(work->mask);
    const uint8_t *bytes = PyArray_DATA(work->mask);
    npy_intp zeros = 0;
    for (npy_intp i = 0; i < count; i++)
        zeros += bytes[i] == 0;
    if (check_size(work->mask, PyArray_MultiplyList((const npy_intp *)work->shape, rank), "mask") < 0)
        return -1;
    return check_size(work->kept, zeros, "kept_values");
}

PyDoc_STRVAR(unpalettize_doc,
             "unpalettize(lut, indices, vector_axis or -1, scale or None, mask or None, kept_values or None, "
             "num_threads) -> array");

static PyObject *unpalettize(PyObject *module, PyObject *arguments) {
    PyArrayObject *output = NULL;
    Py_ssize_t vector_axis;
    int threads;
    core_call call;
    unpalettize_work work = {.lut = NULL};
    if (read_parts(&work, arguments, &vector_axis, &threads) < 0)
        goto done;
    output = new_array(PyArray_NDIM(work.indices), work.shape, PyArray_TYPE(work.lut));
    if (output == NULL)
        goto done;

    swc_tensor scale = tensor_of(work.scale == NULL ? work.lut : work.scale);
    swc_palettized parts = {.lut = tensor_of(work.lut),
                            .indices = PyArray_DATA(work.indices),
                            .indices_rank = PyArray_NDIM(work.indices),
                            .indices_shape = (const int64_t *)PyArray_DIMS(work.indices),
                            .vector_axis = vector_axis,
                            .scale = work.scale == NULL ? NULL : &scale,
                            .mask = work.mask == NULL ? NULL : PyArray_DATA(work.mask),
                            .kept = work.kept == NULL ? NULL : PyArray_DATA(work.kept)};
    call_begin(&call, threads);
    call_leave(&call);
    swc_status status = swc_unpalettize(&parts, &call.run, PyArray_DATA(output), &call.error);
    call_enter(&call);
    if (call_check(module, &call, status) < 0) {
        DROP(output);
        output = NULL;
    }

done:
    DROP(work.lut);
    DROP(work.indices);
    DROP(work.scale);
    DROP(work.mask);
    DROP(work.kept);
    return (PyObject *)output;
}

PyMethodDef palettization_methods[] = {
    {"palettize", palettize, METH_VARARGS, palettize_doc},
    {"unpalettize", unpalettize, METH_VARARGS, unpalettize_doc},
    {NULL, NULL, 0, NULL},
};
