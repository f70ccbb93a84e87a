// The C interface of swiftcompress. Implemented in Swift, one file per section: Sources/SwiftCompressABI; the section
// on the processor in C: Sources/CSwiftCompress/cpu.c. Over 400 lines so that the whole interface is read in one place.
//
// Rules that hold for every function:
// - Memory belongs to whoever allocated it. The caller allocates inputs and outputs and keeps them alive
//   and, for inputs, unchanged during the call. The two exceptions, `swc_text` and `swc_package`, say how to release
//   what they hold.
// - Pointers are not null unless marked `_Nullable`; a null one means "none".
// - Arrays are dense, in C order, aligned to their element size. Sizes count elements unless they say bytes.
// - A function that can fail returns a status and, when that is not SWC_OK, fills `error`; outputs are then undefined.
// - Functions may be called from several threads at once, on different outputs. Nothing is kept between calls:
//   no global state, no thread that outlives its call.

#ifndef SWIFTCOMPRESS_H
#define SWIFTCOMPRESS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// MARK: - Version

/// The version of the product; pyproject.toml has the same, which setup.py checks.
#define SWC_VERSION "0.1.0"

/// Rises with every incompatible change of this header.
#define SWC_ABI_VERSION 2

/// The version of the header that the library was built from.
int32_t swc_abi_version(void);

// MARK: - The processor

/// The x86-64 level of this processor that kernels were built for: 3 or 2; 0 elsewhere.
int32_t swc_cpu_level(void);

/// The number of cores this process may run on, at least 1; `taskset` and container CPU sets count.
int32_t swc_available_cores(void);

// MARK: - Errors

typedef int32_t swc_status;
enum {
    SWC_OK = 0,
    /// An argument is outside its documented range, or contradicts another one.
    SWC_INVALID_ARGUMENT = 1,
    /// A combination of arguments without an implementation.
    SWC_NOT_IMPLEMENTED = 2,
    /// A damaged or unknown package.
    SWC_MODEL_FORMAT = 3,
    /// The operating system refused; `system_error` has its errno.
    SWC_IO = 4,
    SWC_OUT_OF_MEMORY = 5,
    /// `poll` asked for it.
    SWC_CANCELLED = 6,
    /// The arguments are fine, but this tensor does not suit them.
    SWC_DECLINED = 7,
    /// A mistake of this library.
    SWC_INTERNAL = 8
};

/// What went wrong. The caller owns the struct and both buffers, sets their capacities (bytes) before the call, and may
/// leave them null with capacity 0. Texts are UTF-8, cut at a character where they do not fit, and zero-terminated.
typedef struct swc_error {
    /// The status that the function returned.
    swc_status code;
    /// errno for SWC_IO, otherwise 0.
    int32_t system_error;
    /// One sentence: what, where, the value found and the values allowed.
    char *_Nullable message;
    size_t message_capacity;
    /// The file it is about, or empty.
    char *_Nullable file;
    size_t file_capacity;
} swc_error;

// MARK: - Running

/// How a call runs. `poll` is called on the calling thread about every 50 ms while the work goes on elsewhere; a result
/// other than 0 ends the call early with SWC_CANCELLED. Null: the call runs to its end.
typedef struct swc_run {
    /// Threads to use; 0: one for each core this process may run on. Never changes a result.
    int32_t threads;
    int32_t (*_Nullable poll)(void *_Nullable context);
    void *_Nullable context;
} swc_run;

/// Text or bytes that the library allocated; release with `swc_text_free`. `data` is zero-terminated.
typedef struct swc_text {
    char *_Nullable data;
    size_t length;
} swc_text;

/// Frees what a function put into `text`, and clears it. A cleared or zeroed `text` is fine.
void swc_text_free(swc_text *_Nonnull text);

// MARK: - Palettization of arrays

enum { SWC_FLOAT16 = 0, SWC_FLOAT32 = 1, SWC_FLOAT64 = 2 };
enum { SWC_KMEANS = 0, SWC_UNIFORM = 1, SWC_UNIQUE = 2, SWC_CUSTOM = 3 };
enum { SWC_NO_SCALE = 0, SWC_SCALE_OUTPUT_CHANNEL = 1, SWC_SCALE_REFERENCE = 2 };

/// A floating-point array; float16 is IEEE binary16.
typedef struct swc_tensor {
    const void *_Nonnull data;
    /// SWC_FLOAT16, SWC_FLOAT32 or SWC_FLOAT64.
    int32_t type;
    /// Dimensions, 0 or more.
    int32_t rank;
    /// `rank` sizes; may be null when `rank` is 0.
    const int64_t *_Nullable shape;
} swc_tensor;

/// What a lookup table function answers. The memory belongs to the function and must stay valid until it is called
/// again or the call that it serves returns.
typedef struct swc_lut_answer {
    /// 1 to 256 entries in the type of the values.
    const void *_Nullable lut;
    size_t lut_bytes;
    /// One code for each element (or vector) of the group, in C order.
    const uint8_t *_Nullable indices;
    size_t indices_count;
} swc_lut_answer;

/// Finds the lookup table of one group for SWC_CUSTOM; called on the thread that made the call it serves, group after
/// group. `values` has the group's elements with the channel axis swapped to the front. `number` is that of the group,
/// or of the function in the options of `swc_compress`. A result other than 0 ends the call with SWC_CANCELLED.
typedef int32_t (*swc_lut_function)(void *_Nullable context, int64_t number, const swc_tensor *_Nonnull values,
                                    swc_lut_answer *_Nonnull answer);

typedef struct swc_palettize_options {
    /// SWC_KMEANS, SWC_UNIFORM, SWC_UNIQUE or SWC_CUSTOM.
    int32_t mode;
    /// 1, 2, 3, 4, 6 or 8; 0 with SWC_UNIQUE and SWC_CUSTOM: the fewest that do.
    int32_t nbits;
    /// Channels that share a lookup table; 0: the whole tensor shares one.
    int64_t group_size;
    /// -rank to rank - 1.
    int64_t channel_axis;
    /// Length of one palette entry, 1 or more.
    int64_t cluster_dim;
    /// SWC_NO_SCALE, SWC_SCALE_OUTPUT_CHANNEL or SWC_SCALE_REFERENCE.
    int32_t per_channel_scale;
    /// For vector k-means.
    uint64_t seed;
    /// For scalar k-means. Other than 0: of splits that cost the same but for rounding, any; 0: the reference's, which
    /// takes many times longer where importances differ much.
    int32_t any_optimum;
    /// For vector k-means: runs, of which the best counts; 0 counts as 1.
    int32_t starts;
    /// For SWC_CUSTOM.
    swc_lut_function _Nullable lut_function;
    void *_Nullable lut_context;
} swc_palettize_options;

/// The sizes of a palettized tensor. The caller points the shapes at room for `rank + 2`, `rank` and `rank` numbers.
typedef struct swc_palette_layout {
    int32_t nbits;
    /// The axis that vectors lie along; -1 for scalars.
    int32_t vector_axis;
    /// Lookup tables.
    int64_t groups;
    int64_t *_Nonnull lut_shape;
    int64_t *_Nonnull indices_shape;
    /// Meaningful when the options ask for a scale.
    int64_t *_Nonnull scale_shape;
} swc_palette_layout;

/// Validates, and tells the sizes of what `swc_palettize` will write. With SWC_UNIQUE it counts the distinct values.
/// With SWC_CUSTOM and `nbits` 0 it answers for 8 bits.
swc_status swc_palette_layout_find(const swc_tensor *_Nonnull weight, const swc_palettize_options *_Nonnull options,
                                   const uint8_t *_Nullable mask, const swc_run *_Nonnull run,
                                   swc_palette_layout *_Nonnull layout, swc_error *_Nonnull error);

/// Palettizes one array.
/// - importance: none, or as many finite values of at least 0 as the weight has elements.
/// - importance_type: SWC_FLOAT32 or SWC_FLOAT64.
/// - mask: none, or one byte for each element: 0 takes no part.
/// - layout: from `swc_palette_layout_find` with the same arguments. With SWC_CUSTOM and `nbits` 0, `nbits` and the
/// last but
///   one number of `lut_shape` are set to what the function needed; the lookup tables then lie densely at the start of
///   `lut`.
/// - lut: room for the product of `lut_shape`, in the weight's type.
/// - indices: room for the product of `indices_shape`.
/// - scale: room for the product of `scale_shape`, in the weight's type; null without a scale.
swc_status swc_palettize(const swc_tensor *_Nonnull weight, const swc_palettize_options *_Nonnull options,
                         const void *_Nullable importance, int32_t importance_type, const uint8_t *_Nullable mask,
                         const swc_run *_Nonnull run, swc_palette_layout *_Nonnull layout, void *_Nonnull lut,
                         uint8_t *_Nonnull indices, void *_Nullable scale, swc_error *_Nonnull error);

/// The parts of a palettized array.
typedef struct swc_palettized {
    /// Rank of the indices + 2; the last two sizes are the entries and the length of one.
    swc_tensor lut;
    const uint8_t *_Nonnull indices;
    int32_t indices_rank;
    const int64_t *_Nullable indices_shape;
    /// The axis that entries longer than 1 lie along; otherwise not used.
    int64_t vector_axis;
    /// None, or an array in the type of the lookup table, of the rank of the indices.
    const swc_tensor *_Nullable scale;
    /// None, or one byte for each element of the output, 0 where `kept` has its value.
    const uint8_t *_Nullable mask;
    /// As many elements as `mask` has zeros, in the type of the lookup table.
    const void *_Nullable kept;
} swc_palettized;

/// Expands a palettized array: looks every code up and multiplies by the scale in the type of the lookup table.
/// - output: as many elements as there are indices times the length of an entry, in the type of the lookup table.
swc_status swc_unpalettize(const swc_palettized *_Nonnull parts, const swc_run *_Nonnull run, void *_Nonnull output,
                           swc_error *_Nonnull error);

// MARK: - Linear quantization of arrays

enum { SWC_LINEAR = 0, SWC_LINEAR_SYMMETRIC = 1 };

typedef struct swc_quantize_options {
    /// SWC_LINEAR or SWC_LINEAR_SYMMETRIC.
    int32_t mode;
    /// 2, 3, 4, 6 or 8.
    int32_t nbits;
    /// Whether codes are signed, as two's complement of 8 bits.
    int32_t is_signed;
    /// Other than 0: the reference's arithmetic also where it overflows or divides by 0.
    int32_t reference_arithmetic;
    /// For each axis of the weight, how many neighbouring elements share a scale; 0: the whole axis. May be null for
    /// rank 0.
    const int64_t *_Nullable block_sizes;
} swc_quantize_options;

/// The sizes of a quantized tensor. The caller points `scale_shape` at room for as many numbers as the weight has axes.
typedef struct swc_quantize_layout {
    int64_t *_Nonnull scale_shape;
    /// 1 where there are zero points, otherwise 0.
    int32_t has_zero_point;
} swc_quantize_layout;

/// Validates, and tells the sizes of what `swc_quantize` will write.
swc_status swc_quantize_layout_find(const swc_tensor *_Nonnull weight, const swc_quantize_options *_Nonnull options,
                                    swc_quantize_layout *_Nonnull layout, swc_error *_Nonnull error);

/// Quantizes one array.
/// - data: one byte for each element.
/// - scale: room for the product of `scale_shape`, in the weight's type.
/// - zero_point: as many bytes; may be null when the layout has none.
swc_status swc_quantize(const swc_tensor *_Nonnull weight, const swc_quantize_options *_Nonnull options,
                        const swc_run *_Nonnull run, uint8_t *_Nonnull data, void *_Nonnull scale,
                        uint8_t *_Nullable zero_point, swc_error *_Nonnull error);

/// Quantizes one array and decodes the codes.
/// - dense: room for the elements that the codes stand for, in the weight's type; apart from the weight.
/// - scale, zero_point: as above.
/// - errors: receives the sums of the squares of weight - dense and of weight, and the greatest |weight - dense|.
swc_status swc_round_to_codes(const swc_tensor *_Nonnull weight, const swc_quantize_options *_Nonnull options,
                              const swc_run *_Nonnull run, void *_Nonnull dense, void *_Nonnull scale,
                              uint8_t *_Nullable zero_point, double *_Nonnull errors, swc_error *_Nonnull error);

/// Computes (code - zero point) * scale.
/// - data: one byte for each element; the rank of `scale`.
/// - shape: that of `data` and of the output; each size a multiple of that of `scale`.
/// - zero_point: none, or a byte for each scale.
/// - output: as many elements as `data`, in the type of `scale`.
swc_status swc_dequantize(const uint8_t *_Nonnull data, int32_t is_signed, const int64_t *_Nullable shape,
                          const swc_tensor *_Nonnull scale, const uint8_t *_Nullable zero_point,
                          const swc_run *_Nonnull run, void *_Nonnull output, swc_error *_Nonnull error);

// MARK: - Pruning of arrays

enum { SWC_PRUNE_MAGNITUDE = 0, SWC_PRUNE_BLOCKS = 1, SWC_PRUNE_N_OF_M = 2, SWC_PRUNE_THRESHOLD = 3 };

typedef struct swc_prune_options {
    /// SWC_PRUNE_MAGNITUDE, SWC_PRUNE_BLOCKS, SWC_PRUNE_N_OF_M or SWC_PRUNE_THRESHOLD.
    int32_t method;
    /// For magnitude and blocks: the share to become zero, 0 to 1.
    double target_sparsity;
    /// For threshold: elements of at most this magnitude become zero.
    double threshold;
    /// For threshold: the least share that must then be zero, 0 to 1.
    double minimum_sparsity;
    /// For blocks: neighbouring channels that become zero together.
    int64_t block_size;
    /// For n of m.
    int64_t n, m;
    /// For blocks and n of m: the axis of the channels, 0 or 1.
    int32_t dim;
} swc_prune_options;

/// Finds the elements that stay.
/// - mask: one byte for each element: 1 stays, 0 is zero.
/// - kept: how many stay.
swc_status swc_prune(const swc_tensor *_Nonnull weight, const swc_prune_options *_Nonnull options,
                     const swc_run *_Nonnull run, uint8_t *_Nonnull mask, int64_t *_Nonnull kept,
                     swc_error *_Nonnull error);

/// Copies the elements whose mask is 1, in C order.
/// - nonzero: room for as many as the mask has ones, in the weight's type.
swc_status swc_gather_nonzero(const swc_tensor *_Nonnull weight, const uint8_t *_Nonnull mask,
                              const swc_run *_Nonnull run, void *_Nonnull nonzero, swc_error *_Nonnull error);

/// Puts them back among zeros.
/// - element_bytes: 1, 2, 4 or 8.
/// - mask: `count` bytes, 0 or 1; as many ones as `nonzero_count`.
/// - output: room for `count` elements.
swc_status swc_scatter_nonzero(const void *_Nonnull nonzero, int64_t nonzero_count, int32_t element_bytes,
                               const uint8_t *_Nonnull mask, int64_t count, const swc_run *_Nonnull run,
                               void *_Nonnull output, swc_error *_Nonnull error);

// MARK: - Layerwise compression of arrays

enum { SWC_GRID_FREE = 0, SWC_GRID_LINEAR = 1, SWC_GRID_TABLE = 2, SWC_GRID_TABLE_EXPANDED = 3 };
enum { SWC_COLUMNS_ALL = 0, SWC_COLUMNS_SHARE = 1, SWC_COLUMNS_N_OF_M = 2 };

/// A group of neighbouring columns of a weight matrix, and the group's square on the diagonal of the upper factor U of
/// the inverse Hessian (inverse of H = transpose of U times U). Strides are elements from row to row.
typedef struct swc_column_group {
    float *_Nonnull weight;
    int64_t weight_stride;
    int64_t rows, columns;
    const float *_Nonnull factor;
    int64_t factor_stride;
} swc_column_group;

/// What the elements of the group may become. Each column has one of `sets` sets of parameters.
typedef struct swc_column_grid {
    /// SWC_GRID_FREE; SWC_GRID_LINEAR: (code - zero) * scale for codes 0 to `max_code`; SWC_GRID_TABLE: scale times the
    /// nearest entry; SWC_GRID_TABLE_EXPANDED: the same with coremltools' distances of normal floats.
    int32_t kind;
    /// 1 to 65535.
    float max_code;
    int64_t sets;
    /// `columns` numbers of sets; null where the grid is free.
    const int32_t *_Nullable set_of_column;
    /// `sets * rows` numbers above 0; may be null (1) for tables.
    const float *_Nullable scale;
    /// For linear grids: as many numbers of a magnitude of at most 2^20.
    const float *_Nullable zero_point;
    /// For tables: 1 to 256 finite entries, for each `rows_per_table` rows of each set.
    const float *_Nullable tables;
    int64_t entries, rows_per_table;
} swc_column_grid;

typedef struct swc_column_pruning {
    /// SWC_COLUMNS_ALL: nothing is pruned; SWC_COLUMNS_SHARE; SWC_COLUMNS_N_OF_M.
    int32_t kind;
    /// The share of the group to become zero, 0 to 1, 1 excluded.
    double share;
    /// Of every m neighbouring columns n become zero; m divides the number of columns.
    int64_t n, m;
} swc_column_pruning;

/// The inner loop of GPTQ and SparseGPT: puts each column on the grid, or zeroes elements, and takes its error out of
/// the columns of the group behind it. The columns behind the group are the caller's: errors times the factor's rows is
/// to be subtracted.
/// - group: its weight is replaced.
/// - errors: room for `rows * columns`.
/// - losses: for each row what the change adds to the layer's squared error.
/// - ties: 1 where n:m had to choose among equal elements that are not zero, otherwise 0.
swc_status swc_eliminate_columns(const swc_column_group *_Nonnull group, const swc_column_grid *_Nonnull grid,
                                 const swc_column_pruning *_Nonnull pruning, const swc_run *_Nonnull run,
                                 float *_Nonnull errors, double *_Nonnull losses, int32_t *_Nonnull ties,
                                 swc_error *_Nonnull error);

// MARK: - K-means of arrays

/// The least sum of squared distances, exactly.
/// - values: `count` finite numbers in any order, duplicates allowed; at least 1.
/// - weights: none, or `count` finite numbers of at least 0.
/// - k: centroids wanted, at least 1.
/// - centroids: room for `k`; ascending.
/// - found: how many centroids there are: less than `k` when there are fewer distinct values.
/// - labels: `count` numbers of the centroid of each value.
/// - inertia: the weighted sum of squared distances.
swc_status swc_kmeans_1d(const double *_Nonnull values, const double *_Nullable weights, int64_t count, int64_t k,
                         const swc_run *_Nonnull run, double *_Nonnull centroids, int64_t *_Nonnull found,
                         int32_t *_Nonnull labels, double *_Nonnull inertia, swc_error *_Nonnull error);

/// How `swc_kmeans` searches.
typedef struct swc_kmeans_options {
    /// Centroids wanted, at least 1.
    int64_t k;
    uint64_t seed;
    /// Starts, at least 1; the best one is kept.
    int64_t n_init;
    /// Rounds of one start at most, at least 1.
    int64_t max_iter;
    /// A start ends when the centroids move by no more, as a sum of squares in units of the mean variance of the
    /// components.
    double tol;
} swc_kmeans_options;

/// K-means++ and Lloyd; the same seed gives the same result on any number of threads.
/// - points: rank 2, `n` points of `d` finite numbers, both at least 1.
/// - weights: none, or `n` finite numbers of at least 0.
/// - centroids: room for `k * d`.
/// - found: how many centroids there are: less than `k` when there are fewer distinct points.
/// - labels: `n` numbers of the centroid of each point.
/// - inertia: the weighted sum of squared distances.
swc_status swc_kmeans(const swc_tensor *_Nonnull points, const double *_Nullable weights,
                      const swc_kmeans_options *_Nonnull options, const swc_run *_Nonnull run,
                      double *_Nonnull centroids, int64_t *_Nonnull found, int32_t *_Nonnull labels,
                      double *_Nonnull inertia, swc_error *_Nonnull error);

// MARK: - Packing

/// Packs codes, least significant bit first, without gaps.
/// - codes: `count` bytes; 0 to 2^nbits - 1, or with `is_signed` -2^(nbits-1) to 2^(nbits-1) - 1 as two's complement.
/// - nbits: 1, 2, 3, 4, 6 or 8.
/// - packed: room for ceil(count * nbits / 8) bytes; spare bits are zero.
swc_status swc_pack_bits(const uint8_t *_Nonnull codes, int64_t count, int32_t nbits, int32_t is_signed,
                         uint8_t *_Nonnull packed, swc_error *_Nonnull error);

/// The reverse.
/// - packed: `packed_bytes` bytes, at least ceil(count * nbits / 8).
/// - codes: room for `count` bytes; with `is_signed` each code's sign is extended.
swc_status swc_unpack_bits(const uint8_t *_Nonnull packed, int64_t packed_bytes, int64_t count, int32_t nbits,
                           int32_t is_signed, uint8_t *_Nonnull codes, swc_error *_Nonnull error);

// MARK: - Statistics of arrays

/// 8-bit integers of either sign; beside SWC_FLOAT16 and the others.
enum { SWC_BYTE = 3 };

/// Counts elements.
/// - data: `count` elements, fewer than 2^32, of `type`: SWC_FLOAT16, SWC_FLOAT32, SWC_FLOAT64 or SWC_BYTE.
/// - near_zero: how many have a magnitude of 1e-12 or less; the bound is rounded to the type, so for float16 it is 0.
/// - distinct: how many different values there are. Zeros of both signs are one, and so are all NaNs.
swc_status swc_weight_statistics(const void *_Nonnull data, int64_t count, int32_t type, const swc_run *_Nonnull run,
                                 int64_t *_Nonnull near_zero, int64_t *_Nonnull distinct, swc_error *_Nonnull error);

// MARK: - Packages

/// An opened package, read-only. Its weight files are mapped: one that another program shortens meanwhile ends the
/// process.
typedef struct swc_package swc_package;

/// Opens the `.mlpackage` at `path`. `package` is set to one that the caller closes.
swc_status swc_package_open(const char *_Nonnull path, swc_package *_Nullable *_Nonnull package,
                            swc_error *_Nonnull error);

/// Closes what `swc_package_open` opened, and nothing else; pointers into it become invalid. Null is fine.
void swc_package_close(swc_package *_Nullable package);

/// Describes the package in JSON, in one of four parts; the keys are those of `PackageDescription.swift` and
/// `ConstantDescription.swift`.
enum { SWC_DESCRIBE_MODEL = 0, SWC_DESCRIBE_OPERATIONS = 1, SWC_DESCRIBE_WEIGHTS = 2, SWC_DESCRIBE_CONSTANTS = 3 };
swc_status swc_package_describe(const swc_package *_Nonnull package, int32_t part, swc_text *_Nonnull json,
                                swc_error *_Nonnull error);

/// The stored bytes of weight `number` in the list of SWC_DESCRIBE_WEIGHTS, or of the constant in that of
/// SWC_DESCRIBE_CONSTANTS whose `tensor` it is: dense, in C order, aligned for their type, elements narrower than a
/// byte packed. They lie in the mapped file, or belong to the package; either way they are valid until it is closed.
/// `data` is null where there are none.
swc_status swc_package_tensor(const swc_package *_Nonnull package, int64_t number, const void *_Nullable *_Nonnull data,
                              size_t *_Nonnull bytes, swc_error *_Nonnull error);

/// The dense elements of a constant, or of a compressed weight after expanding it.
/// - name, function: as in the lists; an empty function means the first that has the name.
/// - json: its dtype and shape.
/// - elements: in C order, little endian; those narrower than a byte packed.
swc_status swc_package_decompress(const swc_package *_Nonnull package, const char *_Nonnull name,
                                  const char *_Nonnull function, swc_text *_Nonnull json, swc_text *_Nonnull elements,
                                  swc_error *_Nonnull error);

/// Writes an identical package to `path`, complete or not at all. `path` may be the package itself.
swc_status swc_package_save(const swc_package *_Nonnull package, const char *_Nonnull path, swc_error *_Nonnull error);

/// What `swc_compress` asks its caller; both are called on the calling thread.
typedef struct swc_compress_callbacks {
    /// About every 50 ms: weights done, weights in all, and the name of the last one. A result other than 0 ends the
    /// call with SWC_CANCELLED.
    int32_t (*_Nullable progress)(void *_Nullable context, int64_t done, int64_t total, const char *_Nonnull name);
    /// Null where no configuration has mode "custom".
    swc_lut_function _Nullable lut_function;
    void *_Nullable context;
} swc_compress_callbacks;

/// Compresses the weights of a package.
/// - input, output: may be the same; the output appears complete or not at all.
/// - options: JSON of `CompressionOptions`; `options_length` bytes.
/// - report: JSON of `CompressionReport`.
swc_status swc_compress(const char *_Nonnull input, const char *_Nonnull output, const char *_Nonnull options,
                        size_t options_length, const swc_compress_callbacks *_Nonnull callbacks,
                        swc_text *_Nonnull report, swc_error *_Nonnull error);

/// Makes a page for a browser of a report: one HTML text that loads nothing from elsewhere.
/// - report: JSON of `CompressionReport`, as `swc_compress` gives it; `report_length` bytes.
swc_status swc_report_html(const char *_Nonnull report, size_t report_length, swc_text *_Nonnull html,
                           swc_error *_Nonnull error);

// MARK: - The command

/// Runs the `swiftcompress` command, `arguments[0]` being its name; ends the process with its exit status.
int32_t swc_command_line(int32_t argument_count, const char *_Nonnull const *_Nonnull arguments);

#ifdef __cplusplus
}
#endif
#endif
