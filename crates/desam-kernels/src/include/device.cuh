// Device primitives of all kernels: element types, warp and block reductions, tensor cores (mma,
// ldmatrix), asynchronous copies to shared memory (cp.async).
//
// nvcc compiles the first half. A host compiler includes emulation.h instead, which defines the
// same names with the same semantics on one host thread, so that tests run a kernel's source
// without a GPU.
#pragma once
#include <stdint.h>

#ifdef __CUDACC__

#define DEVICE __device__ __forceinline__

// `KERNEL(name, threads, parameters...) { body }`: `threads` is the largest block size of a launch
// (launch bounds, which limit the registers of a thread).
#define KERNEL(name, threads, ...) extern "C" __global__ void __launch_bounds__(threads) name(__VA_ARGS__)

// `SHARED(type, name, count);` in a function: static shared memory of the block.
#define SHARED(type, name, count) __shared__ __align__(16) type name[count]

// `DYNAMIC_SHARED(type, name);`: dynamic shared memory, its size given at the launch.
#define DYNAMIC_SHARED(type, name)                            \
    extern __shared__ __align__(16) unsigned char dynamic_shared[]; \
    type *name = reinterpret_cast<type *>(dynamic_shared)

typedef float f32;
struct bf16 { uint16_t bits; };
struct f16 { uint16_t bits; };

DEVICE float widen(float x) { return x; }
DEVICE float widen(bf16 x) { return __uint_as_float(static_cast<uint32_t>(x.bits) << 16); }
DEVICE float widen(f16 x) {
    float y;
    asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x.bits));
    return y;
}

// Rounds to nearest, ties to even.
template <class T> DEVICE T narrow(float x);
template <> DEVICE float narrow<float>(float x) { return x; }
template <> DEVICE bf16 narrow<bf16>(float x) {
    bf16 y;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
    return y;
}
template <> DEVICE f16 narrow<f16>(float x) {
    f16 y;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
    return y;
}

// Two elements packed into a register of an mma operand, the first in the low half.
template <class T> DEVICE uint32_t narrow_pair(float first, float second);
template <> DEVICE uint32_t narrow_pair<bf16>(float first, float second) {
    uint32_t y;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(y) : "f"(second), "f"(first));
    return y;
}
template <> DEVICE uint32_t narrow_pair<f16>(float first, float second) {
    uint32_t y;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(y) : "f"(second), "f"(first));
    return y;
}

// 2^x to about 2 ulp, 0 for -inf.
DEVICE float fast_exp2(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

// d += a · b on tensor cores: a [16][16] and b [16][8] of bf16 or f16, d [16][8] of f32, as the
// fragments of PTX's mma.m16n8k16 (row, col), distributed over the warp's lanes. Needs sm_80.
template <class T> DEVICE void mma(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]);
template <>
DEVICE void mma<bf16>(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
                 "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
template <>
DEVICE void mma<f16>(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
                 "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

DEVICE uint32_t shared_address(const void *p) {
    return static_cast<uint32_t>(__cvta_generic_to_shared(p));
}

// Loads four 8×8 matrices of 16-bit elements from shared memory as fragments (ldmatrix): lane l
// passes the address of row l % 8 of matrix l / 8 (16 bytes, aligned), and receives in r[i] the
// elements 2 (l % 4) and the next of row l / 4 of matrix i.
DEVICE void load_matrices(uint32_t (&r)[4], const void *row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row))
                 : "memory");
}

// The same, each matrix transposed.
DEVICE void load_matrices_transposed(uint32_t (&r)[4], const void *row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row))
                 : "memory");
}

// Asynchronous copy of 16 bytes from global to shared memory, both aligned, past L1; or 16 bytes of
// zeros, without a read. The bytes are visible after `wait_async` of their group to the thread that
// waits, and to other threads after a barrier that follows.
DEVICE void copy_async16(void *shared, const void *global, bool wanted) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
                 :
                 : "r"(shared_address(shared)), "l"(global), "r"(wanted ? 16 : 0)
                 : "memory");
}
// The same through L1, whose line then serves other blocks of the multiprocessor that read it.
DEVICE void copy_async16_kept(void *shared, const void *global) {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 16;"
                 :
                 : "r"(shared_address(shared)), "l"(global)
                 : "memory");
}
DEVICE void commit_async() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Waits until at most `pending` of this thread's groups are in flight.
template <int pending> DEVICE void wait_async() {
    asm volatile("cp.async.wait_group %0;" ::"n"(pending) : "memory");
}

#else
#include "emulation.h"
#endif

constexpr unsigned WARP = 32;
constexpr unsigned ALL_LANES = 0xffffffffu;

// Unpacks a pair: from `narrow_pair`, or two elements that are adjacent in memory.
template <class T> DEVICE float2 widen_pair(uint32_t pair) {
    return make_float2(widen(T{static_cast<uint16_t>(pair)}),
                       widen(T{static_cast<uint16_t>(pair >> 16)}));
}

// Warp reduction by butterfly shuffles: the same result in all lanes, always in the same order.
template <class T> DEVICE T warp_sum(T x) {
    for (unsigned step = WARP / 2; step > 0; step /= 2) x += __shfl_xor_sync(ALL_LANES, x, step);
    return x;
}
DEVICE float warp_max(float x) {
    for (unsigned step = WARP / 2; step > 0; step /= 2)
        x = fmaxf(x, __shfl_xor_sync(ALL_LANES, x, step));
    return x;
}

// Block reduction: the sum over all threads of a block (whole warps, one dimension), the same in
// each. Two calls may follow each other without a barrier.
template <class T> DEVICE T block_sum(T x) {
    SHARED(T, sums, WARP);
    const unsigned lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    x = warp_sum(x);
    __syncthreads();
    if (lane == 0) sums[warp] = x;
    __syncthreads();
    return warp_sum(lane < blockDim.x / WARP ? sums[lane] : T{0});
}
