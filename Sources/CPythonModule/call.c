#include "core.h"

// Runs on the thread that made the call, with the GIL released: lets Python handle a Ctrl-C.
static int32_t poll_signals(void *context) {
    core_call *call = context;
    call_enter(call);
    int32_t raised = PyErr_Occurred() || PyErr_CheckSignals() != 0;
    call_leave(call);
    return raised;
}

void call_begin(core_call *call, int threads) {
    call->run = (swc_run){.threads = threads, .poll = poll_signals, .context = call};
    call->error = (swc_error){.message = call->message,
                              .message_capacity = sizeof call->message,
                              .file = call->file,
                              .file_capacity = sizeof call->file};
    call->thread = NULL;
    call->message[0] = call->file[0] = 0;
}

void call_leave(core_call *call) { call->thread = PyEval_SaveThread(); }

void call_enter(core_call *call) { PyEval_RestoreThread(call->thread); }

// OSError picks its subclass (FileNotFoundError, PermissionError, ...) by errno.
static void raise_system_error(const core_call *call) {
    PyObject *file = PyUnicode_DecodeFSDefault(call->file);
    PyObject *arguments = file == NULL         ? NULL
                          : call->file[0] == 0 ? Py_BuildValue("(is)", call->error.system_error, call->message)
                                               : Py_BuildValue("(isO)", call->error.system_error, call->message, file);
    if (arguments != NULL)
        PyErr_SetObject(PyExc_OSError, arguments);
    Py_XDECREF(arguments);
    Py_XDECREF(file);
}

int call_check(PyObject *module, core_call *call, swc_status status) {
    if (PyErr_Occurred())
        return -1;
    switch (status) {
    case SWC_OK:
        return 0;
    case SWC_INVALID_ARGUMENT:
    case SWC_DECLINED:
        PyErr_SetString(PyExc_ValueError, call->message);
        break;
    case SWC_NOT_IMPLEMENTED:
        PyErr_SetString(PyExc_NotImplementedError, call->message);
        break;
    case SWC_MODEL_FORMAT:
        PyErr_SetString(state_of(module)->format_error, call->message);
        break;
    case SWC_IO:
        raise_system_error(call);
        break;
    case SWC_OUT_OF_MEMORY:
        PyErr_SetString(PyExc_MemoryError, call->message);
        break;
    case SWC_CANCELLED:
        PyErr_SetString(PyExc_KeyboardInterrupt, call->message);
        break;
    default:
        PyErr_Format(PyExc_SystemError, "swiftcompress failed (status %d): %s", (int)status, call->message);
    }
    return -1;
}
