// Kernels for the tests of the emulation, which no op launches: whether it does what a GPU does, and
// whether it finds mistakes. Some are wrong on purpose, so they are never compiled for a GPU.
#include "device.cuh"

namespace {

DEVICE uint32_t thread() { return blockIdx.x * blockDim.x + threadIdx.x; }

template <class T> DEVICE uint32_t pack(T first, T second) {
    return static_cast<uint32_t>(first.bits) | static_cast<uint32_t>(second.bits) << 16;
}

// Fragments in the layout of PTX's page on mma.m16n8k16, of row-major a [16][16] and b [16][8].
template <class T> DEVICE void by_hand(const T *a, const T *b, uint32_t (&left)[4], uint32_t (&right)[2]) {
    const uint32_t group = threadIdx.x / 4, pair = threadIdx.x % 4 * 2;
    for (uint32_t i = 0; i < 4; i++) {
        const T *at = a + (group + i % 2 * 8) * 16 + pair + i / 2 * 8;
        left[i] = pack(at[0], at[1]);
    }
    for (uint32_t i = 0; i < 2; i++) {
        const T *at = b + (pair + i * 8) * 8 + group;
        right[i] = pack(at[0], at[8]);
    }
}

// The same through shared memory.
template <class T> DEVICE void by_ldmatrix(const T *a, const T *b, uint32_t (&left)[4], uint32_t (&right)[2]) {
    SHARED(T, rows, 16 * 16);
    SHARED(T, columns, 16 * 16);
    const uint32_t lane = threadIdx.x;
    for (uint32_t i = lane; i < 16 * 16; i += WARP) {
        rows[i] = a[i];
        columns[i] = b[i / 16 * 8 + i % 8];
    }
    __syncwarp();
    load_matrices(left, rows + lane % 16 * 16 + lane / 16 * 8);
    uint32_t four[4];
    load_matrices_transposed(four, columns + lane % 16 * 16 + lane / 16 * 8);
    right[0] = four[0];
    right[1] = four[1];
}

template <class T> DEVICE void multiply(const T *a, const T *b, float *d, uint32_t from_shared) {
    uint32_t left[4], right[2];
    if (from_shared) by_ldmatrix(a, b, left, right);
    else by_hand(a, b, left, right);
    float *const mine = d + threadIdx.x / 4 * 8 + threadIdx.x % 4 * 2;
    float sums[4] = {mine[0], mine[1], mine[64], mine[65]};
    mma<T>(sums, left, right);
    mine[0] = sums[0];
    mine[1] = sums[1];
    mine[64] = sums[2];
    mine[65] = sums[3];
}

struct Large {
    unsigned char bytes[65];
};

} // namespace

#define FOR_TYPE(T)                                                                     \
    KERNEL(probe_widen_##T, 256, const T *x, float *y, uint32_t count) {                \
        if (thread() < count) y[thread()] = widen(x[thread()]);                         \
    }                                                                                   \
    KERNEL(probe_narrow_##T, 256, const float *x, T *y, uint32_t count) {               \
        if (thread() < count) y[thread()] = narrow<T>(x[thread()]);                     \
    }                                                                                   \
    KERNEL(probe_mma_##T, 32, const T *a, const T *b, float *d, uint32_t from_shared) { \
        multiply(a, b, d, from_shared);                                                 \
    }

FOR_TYPE(bf16)
FOR_TYPE(f16)

// Four matrices [8][8] one after another → each lane's fragments, [32][4].
KERNEL(probe_ldmatrix, 32, const bf16 *x, uint32_t *y, uint32_t transposed) {
    SHARED(bf16, tiles, 4 * 64);
    for (uint32_t i = threadIdx.x; i < 4 * 64; i += WARP) tiles[i] = x[i];
    __syncwarp();
    uint32_t r[4];
    if (transposed) load_matrices_transposed(r, tiles + threadIdx.x * 8);
    else load_matrices(r, tiles + threadIdx.x * 8);
    for (uint32_t i = 0; i < 4; i++) y[threadIdx.x * 4 + i] = r[i];
}

// Two groups of a copy each, the second of zeros; what is seen of both before any wait, after the
// wait for the first, and after that for both: [3][2] numbers a thread.
KERNEL(probe_copies, 64, const float *x, float *y) {
    DYNAMIC_SHARED(float, rows);
    float *const mine = rows + threadIdx.x * 8;
    float *seen = y + threadIdx.x * 6;
    copy_async16(mine, x + threadIdx.x * 4, true);
    commit_async();
    copy_async16(mine + 4, nullptr, false);
    commit_async();
    const auto look = [&] {
        *seen++ = mine[3];
        *seen++ = mine[7];
    };
    look();
    wait_async<1>();
    look();
    wait_async<0>();
    look();
}

// Shuffles: the value of the lane 3 further round, of the lane with the lowest two bits flipped, of
// the lane 5 on, then the warp's sum and maximum: [5][threads].
// the lane 5 on, then the warp's sum and largest number: [5][threads].
KERNEL(probe_shuffles, 128, const float *x, float *y) {
    const float mine = x[threadIdx.x];
    float *const seen = y + threadIdx.x;
    seen[0 * blockDim.x] = __shfl_sync(ALL_LANES, mine, (threadIdx.x + 3) % WARP);
    seen[1 * blockDim.x] = __shfl_xor_sync(ALL_LANES, mine, 3);
    seen[2 * blockDim.x] = __shfl_down_sync(ALL_LANES, mine, 5);
    seen[3 * blockDim.x] = warp_sum(mine);
    seen[4 * blockDim.x] = warp_max(mine);
}

// The sums of x and of 2 x + 1 over each block, [blocks][2][threads].
KERNEL(probe_block_sum, 1024, const float *x, float *y) {
    float *const seen = y + blockIdx.x * 2 * blockDim.x + threadIdx.x;
    seen[0] = block_sum(x[thread()]);
    seen[blockDim.x] = block_sum(2 * x[thread()] + 1);
}

// Static and dynamic shared memory before anything is written to it.
KERNEL(probe_unwritten, 32, float *y) {
    SHARED(float, declared, WARP);
    DYNAMIC_SHARED(float, asked);
    y[threadIdx.x] = declared[threadIdx.x];
    y[threadIdx.x + WARP] = asked[threadIdx.x];
}

// The number of the next thread round the block, through shared memory; without the barrier it is
// wrong (a race).
KERNEL(probe_neighbour, 128, float *y, uint32_t with_barrier) {
    SHARED(float, numbers, 128);
    numbers[threadIdx.x] = threadIdx.x;
    if (with_barrier) __syncthreads();
    y[threadIdx.x] = numbers[(threadIdx.x + 1) % blockDim.x];
}

// The threads from `first` on leave before the others reach a barrier of their block, or warp.
KERNEL(probe_leave, 128, uint32_t first, uint32_t of_warp) {
    if (threadIdx.x >= first) return;
    if (of_warp) __syncwarp();
    else __syncthreads();
}

// One half of a warp waits for the warp, the other for the block.
KERNEL(probe_divergent, 64, float *y) {
    if (threadIdx.x % WARP < WARP / 2) __syncwarp();
    else __syncthreads();
    y[threadIdx.x] = 1;
}

// 52 KB of static shared memory, where 48 may be declared.
KERNEL(probe_declares_too_much, 32, float *y) {
    SHARED(float, numbers, 13 * 1024);
    y[threadIdx.x] = numbers[threadIdx.x];
}

// 40 KB of static shared memory, in addition to the launch's dynamic one.
KERNEL(probe_declares, 32, float *y) {
    SHARED(float, numbers, 10 * 1024);
    numbers[threadIdx.x] = 1;
    y[threadIdx.x] = numbers[threadIdx.x];
}

KERNEL(probe_shuffles_too_much, 32, float *y) {
    const Large large = __shfl_sync(ALL_LANES, Large{}, 0);
    y[threadIdx.x] = large.bytes[0];
}

KERNEL(probe_misaligned_ldmatrix, 32, float *y) {
    SHARED(bf16, tiles, 5 * 64);
    uint32_t r[4];
    load_matrices(r, tiles + threadIdx.x * 8 + 4);
    y[threadIdx.x] = 0;
}

// Vector access at `off` elements beyond an aligned one, in shared and in global memory.
KERNEL(probe_misaligned_copy, 32, const float *x, uint32_t off_shared, uint32_t off_global) {
    SHARED(float, rows, 8);
    copy_async16(rows + off_shared, x + off_global, true);
    commit_async();
    wait_async<0>();
}

KERNEL(probe_many_copies, 32, uint32_t count) {
    SHARED(float, row, 4);
    for (uint32_t i = 0; i < count; i++) copy_async16(row, nullptr, false);
    commit_async();
    wait_async<0>();
}
