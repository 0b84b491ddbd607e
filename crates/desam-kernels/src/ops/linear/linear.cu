// Epilogue of an affine map's matrix product, in one pass over it: the bias, then an activation or a
// residual.
//
// A warp takes 128 columns, four per lane, so that a lane reads its biases once, and ROWS rows, whose
// loads are all in flight at once. The eight warps of a block take different rows.
#include "../pointwise/activation.cuh"
#include "wide.cuh"

namespace {

constexpr unsigned COLUMNS = 4 * WARP, WARPS = 8, ROWS = 4;

// The first row and the column of this thread.
struct Place {
    uint32_t row, column;
};
DEVICE Place place(uint32_t width) {
    const uint32_t tiles = (width + COLUMNS - 1) / COLUMNS;
    return {(blockIdx.x / tiles * WARPS + threadIdx.x / WARP) * ROWS,
            blockIdx.x % tiles * COLUMNS + threadIdx.x % WARP * 4};
}

template <class B> DEVICE Four biases(const B *bias, uint32_t column, uint32_t count, bool whole) {
    if (bias == nullptr) return {{0.0f, 0.0f, 0.0f, 0.0f}};
    return load_some(bias + column, count, whole);
}

// y ← f(y + bias)
template <class T, class B, class F>
DEVICE void finish(T *y, const B *bias, uint32_t rows, uint32_t width) {
    const Place at = place(width);
    const uint32_t count = left(width, at.column);
    const bool whole = in_fours(y, width) && in_fours(bias, width);
    const Four b = biases(bias, at.column, count, whole);
    Four x[ROWS];
#pragma unroll
    for (unsigned r = 0; r < ROWS; r++) {
        T *from = y + static_cast<size_t>(at.row + r) * width + at.column;
        x[r] = load_some(from, at.row + r < rows ? count : 0, whole);
    }
#pragma unroll
    for (unsigned r = 0; r < ROWS; r++) {
#pragma unroll
        for (unsigned i = 0; i < 4; i++) x[r].v[i] = F::at(x[r].v[i] + b.v[i], 0.0f);
        T *to = y + static_cast<size_t>(at.row + r) * width + at.column;
        store_some(to, x[r], at.row + r < rows ? count : 0, whole);
    }
}

// out ← to + (y + bias); `to` is repeated every `period` rows. `out` may be y.
template <class T, class B, class To>
DEVICE void added(const T *y, const B *bias, const To *to, To *out, uint32_t rows, uint32_t width,
                  uint32_t period) {
    const Place at = place(width);
    const uint32_t count = left(width, at.column);
    const bool whole =
        in_fours(y, width) && in_fours(bias, width) && in_fours(to, width) && in_fours(out, width);
    const Four b = biases(bias, at.column, count, whole);
    Four x[ROWS], z[ROWS];
#pragma unroll
    for (unsigned r = 0; r < ROWS; r++) {
        const uint32_t row = at.row + r, some = row < rows ? count : 0;
        x[r] = load_some(y + static_cast<size_t>(row) * width + at.column, some, whole);
        const uint32_t same = period < rows ? row % period : row;
        z[r] = load_some(to + static_cast<size_t>(same) * width + at.column, some, whole);
    }
#pragma unroll
    for (unsigned r = 0; r < ROWS; r++) {
#pragma unroll
        for (unsigned i = 0; i < 4; i++) x[r].v[i] = z[r].v[i] + (x[r].v[i] + b.v[i]);
        const uint32_t row = at.row + r;
        store_some(out + static_cast<size_t>(row) * width + at.column, x[r],
                   row < rows ? count : 0, whole);
    }
}

} // namespace

#define FINISH(name, F, T, B)                                                              \
    KERNEL(linear_##name##_##T##_##B, 256, T *y, const B *bias, uint32_t rows, uint32_t width) { \
        finish<T, B, F>(y, bias, rows, width);                                             \
    }
#define ADDED(T, B, To)                                                                    \
    KERNEL(linear_added_##T##_##B##_##To, 256, const T *y, const B *bias, const To *to, To *out, \
           uint32_t rows, uint32_t width, uint32_t period) {                               \
        added(y, bias, to, out, rows, width, period);                                      \
    }
#define LINEAR(T, B)                                                                       \
    FINISH(bias, Straight, T, B)                                                           \
    FINISH(relu, Relu, T, B)                                                               \
    FINISH(gelu, Gelu, T, B)                                                               \
    ADDED(T, B, T)

LINEAR(f32, f32)
LINEAR(bf16, f32)
LINEAR(bf16, bf16)
LINEAR(f16, f32)
LINEAR(f16, f16)
ADDED(bf16, f32, f32)
ADDED(bf16, bf16, f32)
ADDED(f16, f32, f32)
ADDED(f16, f16, f32)
