#include "core.h"

// MARK: - eliminate_columns

// Rows of float32 whose elements are neighbours; the rows may be apart, as in some columns of a matrix. Not a copy,
// because the weight is written. Returns the stride in elements, or -1 with an exception.
static npy_intp row_stride(PyArrayObject *array, int written, const char *name) {
    npy_intp size = sizeof(float);
    if (PyArray_NDIM(array) == 2 && PyArray_TYPE(array) == NPY_FLOAT && PyArray_ISALIGNED(array) &&
        PyArray_ISNOTSWAPPED(array) && (!written || PyArray_ISWRITEABLE(array))) {
        const npy_intp *sizes = PyArray_DIMS(array), *strides = PyArray_STRIDES(array);
        npy_intp stride = sizes[0] > 1 ? strides[0] : sizes[1] * size;
        if ((sizes[1] <= 1 || strides[1] == size) && stride % size == 0 && stride >= sizes[1] * size)
            return stride / size;
    }
    PyErr_Format(PyExc_ValueError, "%s: allowed is a%s matrix of float32 with rows in one piece", name,
                 written ? " writable" : "");
    return -1;
}

// An optional array of `type`. Returns -1 with an exception.
static int optional_array(PyObject *object, int type, const char *name, PyArrayObject **array) {
    *array = object == Py_None ? NULL : dense_array(object, type, name);
    return object != Py_None && *array == NULL ? -1 : 0;
}

static void *data_of(PyArrayObject *array) { return array == NULL ? NULL : PyArray_DATA(array); }

// The arrays of a grid.
typedef struct {
    PyArrayObject *set_of_column, *scale, *zero_point, *tables;
} grid_arrays;

// Checks that each array has as many elements as `grid` says that will be read. Returns -1 or 0.
static int check_grid(const swc_column_group *group, const swc_column_grid *grid, const grid_arrays *arrays) {
    if (grid->kind == SWC_GRID_FREE)
        return 0;
    if (grid->sets < 1 || grid->sets > 1 << 24 || grid->entries < 0 || grid->entries > 256 ||
        grid->rows_per_table < 1) {
        PyErr_Format(PyExc_ValueError,
                     "sets, entries, rows_per_table: found %lld, %lld, %lld, allowed 1 to 2^24, 0 to "
                     "256, 1 and above",
                     (long long)grid->sets, (long long)grid->entries, (long long)grid->rows_per_table);
        return -1;
    }
    int64_t tables = grid->sets * ((group->rows - 1) / grid->rows_per_table + 1);
    if (arrays->set_of_column != NULL && check_size(arrays->set_of_column, group->columns, "set_of_column") < 0)
        return -1;
    if (arrays->scale != NULL && check_size(arrays->scale, grid->sets * group->rows, "scale") < 0)
        return -1;
    if (arrays->zero_point != NULL && check_size(arrays->zero_point, grid->sets * group->rows, "zero_point") < 0)
        return -1;
    return arrays->tables == NULL ? 0 : check_size(arrays->tables, tables * grid->entries, "tables");
}

PyDoc_STRVAR(
    eliminate_columns_doc,
    "eliminate_columns(weight, factor, grid, max_code, sets, set_of_column, scale, zero_point, tables, entries, "
    "rows_per_table, pruning, share, n, m, num_threads) -> (errors, losses, ties); weight is changed in place");

static PyObject *eliminate_columns(PyObject *module, PyObject *arguments) {
    PyObject *weight_object, *factor_object, *set_object, *scale_object, *zero_object, *tables_object, *result = NULL;
    PyArrayObject *errors = NULL, *losses = NULL;
    grid_arrays arrays = {0};
    swc_column_grid grid = {0};
    swc_column_pruning pruning = {0};
    Py_ssize_t sets, entries, rows_per_table, n, m;
    int threads;
    core_call call;
    if (!PyArg_ParseTuple(arguments, "O!O!ifnOOOOnnidnni:eliminate_columns", &PyArray_Type, &weight_object,
                          &PyArray_Type, &factor_object, &grid.kind, &grid.max_code, &sets, &set_object, &scale_object,
                          &zero_object, &tables_object, &entries, &rows_per_table, &pruning.kind, &pruning.share, &n,
                          &m, &threads)) {
        return NULL;
    }
    PyArrayObject *weight = (PyArrayObject *)weight_object, *factor = (PyArrayObject *)factor_object;
    npy_intp weight_stride = row_stride(weight, 1, "weight");
    npy_intp factor_stride = weight_stride < 0 ? -1 : row_stride(factor, 0, "factor");
    if (factor_stride < 0)
        return NULL;
    int64_t rows = PyArray_DIM(weight, 0), columns = PyArray_DIM(weight, 1);
    if (rows < 1 || columns < 1 || PyArray_DIM(factor, 0) != columns || PyArray_DIM(factor, 1) != columns) {
        PyErr_SetString(PyExc_ValueError,
                        "weight, factor: allowed are a matrix with elements, and a square one with as "
                        "many rows as the weight has columns");
        return NULL;
    }
    swc_column_group group = {.weight = PyArray_DATA(weight),
                              .weight_stride = weight_stride,
                              .rows = rows,
                              .columns = columns,
                              .factor = PyArray_DATA(factor),
                              .factor_stride = factor_stride};
    grid.sets = sets;
    grid.entries = entries;
    grid.rows_per_table = rows_per_table;
    pruning.n = n;
    pruning.m = m;
    if (optional_array(set_object, NPY_INT32, "set_of_column", &arrays.set_of_column) < 0 ||
        optional_array(scale_object, NPY_FLOAT, "scale", &arrays.scale) < 0 ||
        optional_array(zero_object, NPY_FLOAT, "zero_point", &arrays.zero_point) < 0 ||
        optional_array(tables_object, NPY_FLOAT, "tables", &arrays.tables) < 0 ||
        check_grid(&group, &grid, &arrays) < 0)
        goto done;
    grid.set_of_column = data_of(arrays.set_of_column);
    grid.scale = data_of(arrays.scale);
    grid.zero_point = data_of(arrays.zero_point);
    grid.tables = data_of(arrays.tables);
    errors = new_array(2, (const int64_t[]){rows, columns}, NPY_FLOAT);
    losses = new_array(1, &rows, NPY_DOUBLE);
    if (errors == NULL || losses == NULL)
        goto done;

    int32_t ties = 0;
    call_begin(&call, threads);
    call_leave(&call);
    swc_status status = swc_eliminate_columns(&group, &grid, &pruning, &call.run, PyArray_DATA(errors),
                                              PyArray_DATA(losses), &ties, &call.error);
    call_enter(&call);
    if (call_check(module, &call, status) == 0)
        result = Py_BuildValue("(OOi)", errors, losses, (int)ties);

done:
    DROP(arrays.set_of_column);
    DROP(arrays.scale);
    DROP(arrays.zero_point);
    DROP(arrays.tables);
    DROP(errors);
    DROP(losses);
    return result;
}

PyMethodDef layerwise_methods[] = {
    {"eliminate_columns", eliminate_columns, METH_VARARGS, eliminate_columns_doc},
    {NULL, NULL, 0, NULL},
};
