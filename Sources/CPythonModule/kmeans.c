#include "core.h"

// The first `count` rows of `array` as an array of its own; takes over the reference.
static PyArrayObject *first_rows(PyArrayObject *array, int64_t count) {
    if (PyArray_DIM(array, 0) == count)
        return array;
    PyObject *rows = PySequence_GetSlice((PyObject *)array, 0, count);
    PyObject *copy = rows == NULL ? NULL : PyArray_NewCopy((PyArrayObject *)rows, NPY_CORDER);
    DROP(rows);
    Py_DECREF(array);
    return (PyArrayObject *)copy;
}

// (centroids, labels, inertia), keeping the first `found` centroids; takes over both references.
static PyObject *result_of(PyArrayObject *centroids, int64_t found, PyArrayObject *labels, double inertia) {
    centroids = first_rows(centroids, found);
    if (centroids == NULL) {
        Py_DECREF(labels);
        return NULL;
    }
    return Py_BuildValue("(NNd)", centroids, labels, inertia);
}

PyDoc_STRVAR(kmeans_1d_doc,
             "kmeans_1d(values, weights, k, num_threads): float64 values of any shape, weights or None -> "
             "(centroids float64, labels int32 in the shape of values, inertia)");

static PyObject *kmeans_1d(PyObject *module, PyObject *arguments) {
    PyObject *values_object, *weights_object, *result = NULL;
    PyArrayObject *values = NULL, *weights = NULL, *centroids = NULL, *labels = NULL;
    Py_ssize_t k;
    int threads;
    core_call call;
    if (!PyArg_ParseTuple(arguments, "OOni:kmeans_1d", &values_object, &weights_object, &k, &threads))
        return NULL;
    call_begin(&call, threads);
    values = dense_array(values_object, NPY_DOUBLE, "values");
    if (values == NULL)
        goto done;
    int64_t count = PyArray_SIZE(values);
    if (weights_object != Py_None) {
        weights = dense_array(weights_object, NPY_DOUBLE, "weights");
        if (weights == NULL || check_size(weights, count, "weights") < 0)
            goto done;
    }
    // More centroids than values there cannot be.
    int64_t wanted = k > count && count > 0 ? count : k;
    centroids = new_array(1, &wanted, NPY_DOUBLE);
    labels = new_array(PyArray_NDIM(values), (const int64_t *)PyArray_DIMS(values), NPY_INT32);
    if (centroids == NULL || labels == NULL)
        goto done;

    int64_t found = 0;
    double inertia = 0;
    call_leave(&call);
    swc_status status =
        swc_kmeans_1d(PyArray_DATA(values), weights == NULL ? NULL : PyArray_DATA(weights), count, wanted, &call.run,
                      PyArray_DATA(centroids), &found, PyArray_DATA(labels), &inertia, &call.error);
    call_enter(&call);
    if (call_check(module, &call, status) < 0)
        goto done;
    result = result_of(centroids, found, labels, inertia);
    centroids = labels = NULL;

done:
    DROP(values);
    DROP(weights);
    DROP(centroids);
    DROP(labels);
    return result;
}

PyDoc_STRVAR(kmeans_doc, "kmeans(points, weights, k, seed, n_init, max_iter, tol, num_threads): floats (n, d) -> "
                         "(centroids float64, labels int32, inertia)");

static PyObject *kmeans(PyObject *module, PyObject *arguments) {
    PyObject *points_object, *weights_object, *result = NULL;
    PyArrayObject *points = NULL, *weights = NULL, *centroids = NULL, *labels = NULL;
    Py_ssize_t k, starts, rounds;
    unsigned long long seed;
    double tolerance;
    int threads;
    core_call call;
    if (!PyArg_ParseTuple(arguments, "OOnKnndi:kmeans", &points_object, &weights_object, &k, &seed, &starts, &rounds,
                          &tolerance, &threads)) {
        return NULL;
    }
    call_begin(&call, threads);
    points = dense_float(points_object, 1, "points");
    if (points == NULL)
        goto done;
    if (PyArray_NDIM(points) != 2) {
        PyErr_SetString(PyExc_ValueError, "points: the array must have 2 dimensions");
        goto done;
    }
    int64_t count = PyArray_DIM(points, 0);
    if (weights_object != Py_None) {
        weights = dense_array(weights_object, NPY_DOUBLE, "weights");
        if (weights == NULL || check_size(weights, count, "weights") < 0)
            goto done;
    }
    int64_t wanted = k > count && count > 0 ? count : k;
    int64_t shape[2] = {wanted, PyArray_DIM(points, 1)};
    centroids = new_array(2, shape, NPY_DOUBLE);
    labels = new_array(1, &count, NPY_INT32);
    if (centroids == NULL || labels == NULL)
        goto done;

    swc_kmeans_options options = {.k = wanted, .seed = seed, .n_init = starts, .max_iter = rounds, .tol = tolerance};
    swc_tensor tensor = tensor_of(points);
    int64_t found = 0;
    double inertia = 0;
    call_leave(&call);
    swc_status status = swc_kmeans(&tensor, weights == NULL ? NULL : PyArray_DATA(weights), &options, &call.run,
                                   PyArray_DATA(centroids), &found, PyArray_DATA(labels), &inertia, &call.error);
    call_enter(&call);
    if (call_check(module, &call, status) < 0)
        goto done;
    result = result_of(centroids, found, labels, inertia);
    centroids = labels = NULL;

done:
    DROP(points);
    DROP(weights);
    DROP(centroids);
    DROP(labels);
    return result;
}

PyMethodDef kmeans_methods[] = {
    {"kmeans_1d", kmeans_1d, METH_VARARGS, kmeans_1d_doc},
    {"kmeans", kmeans, METH_VARARGS, kmeans_doc},
    {NULL, NULL, 0, NULL},
};
