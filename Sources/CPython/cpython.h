// Python's and NumPy's C headers, as every file of the extension module sees them: the stable ABI of Python 3.11 and
// the NumPy C API of 1.24, so that one binary runs on every later Python and NumPy. setup.py passes the folders of the
// interpreter that runs it, NumPy's own first: Debian keeps a link to an older NumPy's headers among Python's.
#ifndef SWIFTCOMPRESS_CPYTHON_H
#define SWIFTCOMPRESS_CPYTHON_H

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#define NPY_NO_DEPRECATED_API NPY_1_24_API_VERSION
#define NPY_TARGET_VERSION NPY_1_24_API_VERSION

// One table of NumPy functions for the whole module; module.c fills it.
#define PY_ARRAY_UNIQUE_SYMBOL swiftcompress_core_numpy
#ifndef SWIFTCOMPRESS_IMPORTS_NUMPY
#define NO_IMPORT_ARRAY
#endif

#include <Python.h>
#include <numpy/arrayobject.h>

#if NPY_ABI_VERSION < 0x02000000
#error "swiftcompress must be built with the headers of NumPy 2; the result then runs on NumPy 1.24 and later"
#endif

#endif
