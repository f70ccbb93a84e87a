#include "core.h"

#include <string.h>

static int numpy_type_of(int32_t float_type) {
    return float_type == SWC_FLOAT16 ? NPY_HALF : float_type == SWC_FLOAT32 ? NPY_FLOAT : NPY_DOUBLE;
}

void lut_context_clear(lut_context *context) {
    DROP(context->lut);
    DROP(context->indices);
    context->lut = context->indices = NULL;
}

// Asks the function with a copy of the values, so that nothing it does can reach the weight.
static int ask(lut_context *context, int64_t number, const swc_tensor *values) {
    int type = numpy_type_of(values->type), result = -1;
    PyObject *answer = NULL;
    PyArrayObject *group = new_array(values->rank, values->shape, type);
    if (group == NULL)
        goto done;
    memcpy(PyArray_DATA(group), values->data, PyArray_NBYTES(group));
    answer = PyObject_CallFunction(context->function, "LO", (long long)number, group);
    PyObject *lut, *indices;
    if (answer == NULL || !PyArg_ParseTuple(answer, "OO", &lut, &indices))
        goto done;
    context->lut = dense_array(lut, type, "lut");
    context->indices = dense_array(indices, NPY_UINT8, "indices");
    if (context->lut != NULL && context->indices != NULL)
        result = 0;

done:
    DROP(group);
    DROP(answer);
    return result;
}

int32_t answer_lut(void *pointer, int64_t number, const swc_tensor *values, swc_lut_answer *answer) {
    lut_context *context = pointer;
    call_enter(context->call);
    lut_context_clear(context);
    // After an exception the run is on its way to its end.
    int result = PyErr_Occurred() ? -1 : ask(context, number, values);
    if (result == 0) {
        answer->lut = PyArray_DATA(context->lut);
        answer->lut_bytes = PyArray_NBYTES(context->lut);
        answer->indices = PyArray_DATA(context->indices);
        answer->indices_count = PyArray_SIZE(context->indices);
    }
    call_leave(context->call);
    return result;
}
