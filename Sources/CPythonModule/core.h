// What the files of the extension module share. Each topic has a file of its own with a table of methods; module.c puts
// them together. Python code checks arguments and words the errors (python/swiftcompress); here arrays are converted,
// outputs are made, and the GIL is released around the one pure call.

#ifndef SWIFTCOMPRESS_CORE_H
#define SWIFTCOMPRESS_CORE_H

#include "cpython.h"
#include "swiftcompress.h"

_Static_assert(sizeof(npy_intp) == sizeof(int64_t), "shapes are passed on as they are");

// NumPy 2 allows 64 dimensions, NumPy 1 allowed 32; an output may have two more than its input.
enum { MAX_RANK = 64 };

// Gives up a reference to any object, or to none.
#define DROP(object) Py_XDECREF((PyObject *)(object))

extern PyMethodDef palettization_methods[];
extern PyMethodDef quantization_methods[];
extern PyMethodDef pruning_methods[];
extern PyMethodDef layerwise_methods[];
extern PyMethodDef kmeans_methods[];
extern PyMethodDef packing_methods[];
extern PyMethodDef statistics_methods[];
extern PyMethodDef packages_methods[];
extern PyMethodDef compression_methods[];

// MARK: - module.c: what the module owns

typedef struct {
    // swiftcompress.ModelFormatError
    PyObject *format_error;
} core_state;

core_state *state_of(PyObject *module);

// MARK: - call.c: one call into the library

/// Everything a call needs beside its data. `begin` fills it; it must not move until the call is over.
typedef struct {
    swc_run run;
    swc_error error;
    PyThreadState *thread;
    char message[2048];
    char file[4096];
} core_call;

void call_begin(core_call *call, int threads);

/// Releases the GIL; between this and `call_enter` no Python object may be touched.
void call_leave(core_call *call);

/// Takes the GIL again.
void call_enter(core_call *call);

/// Raises what `status` stands for, unless a Python exception is already set. Returns -1, or 0 for SWC_OK.
int call_check(PyObject *module, core_call *call, swc_status status);

// MARK: - arrays.c: NumPy arrays in and out

/// A new reference to `object` as a dense aligned array of `type` in C order and native byte order: `object` itself
/// where it is one, otherwise a copy. Raises TypeError (naming the argument) where that would change values.
PyArrayObject *dense_array(PyObject *object, int type, const char *name);

/// The same, keeping the element type; raises TypeError unless that is float32, float64 or, where `half` is set,
/// float16.
PyArrayObject *dense_float(PyObject *object, int half, const char *name);

/// SWC_FLOAT16, SWC_FLOAT32 or SWC_FLOAT64.
int32_t float_type_of(PyArrayObject *array);

/// Borrows the array's data and shape.
swc_tensor tensor_of(PyArrayObject *array);

/// A new array of `type`, not filled.
PyArrayObject *new_array(int rank, const int64_t *shape, int type);

/// Raises ValueError unless `array` has `count` elements. Returns -1 or 0.
int check_size(PyArrayObject *array, npy_intp count, const char *name);

// MARK: - lut_function.c: lookup tables that Python makes

/// The context of `answer_lut`. `function(number, values)` returns two arrays: entries in the type of the values, and
/// uint8 codes; python/swiftcompress/arrays/lut_function.py has checked them.
typedef struct {
    core_call *call;
    PyObject *function;
    PyArrayObject *lut, *indices;
} lut_context;

/// A `swc_lut_function`; to be called while the GIL is released by `call_leave`.
int32_t answer_lut(void *context, int64_t number, const swc_tensor *values, swc_lut_answer *answer);

/// Drops the last answer.
void lut_context_clear(lut_context *context);

#endif
