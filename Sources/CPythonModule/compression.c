#include "core.h"

typedef struct {
    core_call *call;
    // progress(done, total, name), or None
    PyObject *progress;
    lut_context lut;
} compress_context;

// Lets Python handle a Ctrl-C, then tells it how far the run is.
static int32_t report_progress(void *pointer, int64_t done, int64_t total, const char *name) {
    compress_context *context = pointer;
    call_enter(context->call);
    int32_t stop = PyErr_Occurred() || PyErr_CheckSignals() != 0;
    if (!stop && context->progress != Py_None) {
        PyObject *answer = PyObject_CallFunction(context->progress, "LLs", (long long)done, (long long)total, name);
        stop = answer == NULL;
        DROP(answer);
    }
    call_leave(context->call);
    return stop;
}

static int32_t report_lut(void *pointer, int64_t number, const swc_tensor *values, swc_lut_answer *answer) {
    compress_context *context = pointer;
    return answer_lut(&context->lut, number, values, answer);
}

PyDoc_STRVAR(compress_doc,
             "compress(input: bytes, output: bytes, options: bytes, progress, lut_function) -> report as JSON bytes\n\n"
             "progress(done, total, name) and lut_function(number, values) may be None.");

static PyObject *compress(PyObject *module, PyObject *arguments) {
    const char *input, *output, *options;
    Py_ssize_t options_length;
    PyObject *lut_function, *result = NULL;
    swc_text report = {NULL, 0};
    core_call call;
    compress_context context = {.call = &call, .lut = {.call = &call}};
    if (!PyArg_ParseTuple(arguments, "yyy#OO:compress", &input, &output, &options, &options_length, &context.progress,
                          &lut_function)) {
        return NULL;
    }
    context.lut.function = lut_function;
    swc_compress_callbacks callbacks = {
        .progress = report_progress, .lut_function = lut_function == Py_None ? NULL : report_lut, .context = &context};
    call_begin(&call, 0);
    call_leave(&call);
    swc_status status = swc_compress(input, output, options, (size_t)options_length, &callbacks, &report, &call.error);
    call_enter(&call);
    if (call_check(module, &call, status) == 0) {
        result = PyBytes_FromStringAndSize(report.data, (Py_ssize_t)report.length);
    }
    lut_context_clear(&context.lut);
    swc_text_free(&report);
    return result;
}

PyDoc_STRVAR(report_html_doc, "report_html(report as JSON bytes) -> HTML as bytes");

static PyObject *report_html(PyObject *module, PyObject *arguments) {
    const char *report;
    Py_ssize_t length;
    PyObject *result = NULL;
    swc_text html = {NULL, 0};
    core_call call;
    if (!PyArg_ParseTuple(arguments, "y#:report_html", &report, &length))
        return NULL;
    call_begin(&call, 0);
    call_leave(&call);
    swc_status status = swc_report_html(report, (size_t)length, &html, &call.error);
    call_enter(&call);
    if (call_check(module, &call, status) == 0)
        result = PyBytes_FromStringAndSize(html.data, (Py_ssize_t)html.length);
    swc_text_free(&html);
    return result;
}

PyMethodDef compression_methods[] = {
    {"compress", compress, METH_VARARGS, compress_doc},
    {"report_html", report_html, METH_VARARGS, report_html_doc},
    {NULL, NULL, 0, NULL},
};
