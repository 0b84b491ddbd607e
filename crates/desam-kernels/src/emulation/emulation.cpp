// The fibers of a block, and the entry point that Rust calls.
#include "emulation.h"

#include <algorithm>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#if defined(__x86_64__) && defined(__linux__)
extern "C" void desam_emulation_switch(void **from, void *to);
asm(R"(
.text
.globl desam_emulation_switch
.type desam_emulation_switch, @function
desam_emulation_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size desam_emulation_switch, .-desam_emulation_switch
)");
#else
#include <ucontext.h>
#endif

namespace emulation {

thread_local Fiber *current;
thread_local Dim block_index, block_size, grid_size;

namespace {

// Stack size of a fiber.
constexpr size_t STACK = 256 * 1024;
// Maximum shared memory per block of an H100; maximum that a kernel may declare statically.
constexpr size_t SHARED_LIMIT = 227 * 1024, DECLARED_LIMIT = 48 * 1024;
constexpr size_t SLOT = 64;

enum class Waits { Nothing, Warp, Block, Over };

#if defined(__x86_64__) && defined(__linux__)
struct Context {
    void *stack_pointer = nullptr;
    void start(char *stack, void (*entry)()) {
        // As if `desam_emulation_switch` had been called from `entry`'s first line.
        void **top = reinterpret_cast<void **>(stack + STACK);
        *--top = nullptr;
        *--top = reinterpret_cast<void *>(entry);
        for (int i = 0; i < 6; i++) *--top = nullptr;
        stack_pointer = top;
    }
};
void change(Context &from, Context &to) {
    desam_emulation_switch(&from.stack_pointer, to.stack_pointer);
}
#else
struct Context {
    ucontext_t context;
    void start(char *stack, void (*entry)()) {
        getcontext(&context);
        context.uc_stack.ss_sp = stack;
        context.uc_stack.ss_size = STACK;
        context.uc_link = nullptr;
        makecontext(&context, entry, 0);
    }
};
void change(Context &from, Context &to) { swapcontext(&from.context, &to.context); }
#endif

struct Thread {
    Fiber fiber;
    Context context;
    Waits waits = Waits::Nothing;
    alignas(16) unsigned char slot[SLOT];
};

struct Block {
    std::vector<Thread> threads;
    std::vector<char> stacks;
    Context scheduler;
    std::map<const void *, std::vector<uint64_t>> declared;
    std::vector<uint64_t> dynamic;
    size_t dynamic_bytes = 0;
    const Kernel *kernel = nullptr;
    void *const *arguments = nullptr;
    std::string failure;
};

thread_local Block block;

std::map<std::string, Kernel> &kernels() {
    static std::map<std::string, Kernel> all;
    return all;
}

Thread &running() { return *reinterpret_cast<Thread *>(current); }

void stop(Waits waits) {
    Thread &me = running();
    me.waits = waits;
    change(me.context, block.scheduler);
}

void body() {
    block.kernel->call(block.kernel->function, block.arguments);
    stop(Waits::Over);
    std::abort();
}

// Runs all that can, in the order asked for, until none can. Whether anything ran.
bool run(bool backwards) {
    bool ran = false;
    const size_t count = block.threads.size();
    for (size_t i = 0; i < count && block.failure.empty(); i++) {
        Thread &thread = block.threads[backwards ? count - 1 - i : i];
        if (thread.waits != Waits::Nothing) continue;
        ran = true;
        current = &thread.fiber;
        change(block.scheduler, thread.context);
    }
    return ran;
}

// Lets go the warps, and then the block, all of whose threads wait or are over. A lane that is over
// cannot be missed at a barrier of its warp: that would hang or read rubbish on a GPU.
bool release() {
    bool released = false;
    for (size_t first = 0; first < block.threads.size(); first += 32) {
        const size_t end = std::min(first + 32, block.threads.size());
        size_t waiting = 0, over = 0;
        for (size_t i = first; i < end; i++) {
            waiting += block.threads[i].waits == Waits::Warp;
            over += block.threads[i].waits == Waits::Over;
        }
        if (waiting == 0) continue;
        if (waiting != end - first) {
            if (over > 0) block.failure = "a warp waits for a thread that is over";
            continue;
        }
        for (size_t i = first; i < end; i++) block.threads[i].waits = Waits::Nothing;
        released = true;
    }
    if (released || !block.failure.empty()) return released;
    size_t waiting = 0, over = 0;
    for (const Thread &thread : block.threads) {
        waiting += thread.waits == Waits::Block;
        over += thread.waits == Waits::Over;
    }
    if (waiting == 0 || waiting + over != block.threads.size()) return false;
    for (Thread &thread : block.threads)
        if (thread.waits == Waits::Block) thread.waits = Waits::Nothing;
    return true;
}

bool over() {
    for (const Thread &thread : block.threads)
        if (thread.waits != Waits::Over) return false;
    return true;
}

void one_block(bool backwards) {
    block.declared.clear();
    block.dynamic.assign((block.dynamic_bytes + 15) / 16 * 2, ~uint64_t{0});
    const Dim size = block_size;
    for (size_t i = 0; i < block.threads.size(); i++) {
        Thread &thread = block.threads[i];
        const unsigned at = static_cast<unsigned>(i);
        thread.fiber.first_copy = thread.fiber.last_copy = thread.fiber.group = 0;
        thread.fiber.thread = {at % size.x, at / size.x % size.y, at / size.x / size.y};
        thread.fiber.lane = at % 32;
        thread.fiber.warp = at / 32;
        thread.waits = Waits::Nothing;
        thread.context.start(block.stacks.data() + i * STACK, &body);
    }
    while (block.failure.empty() && !over()) {
        const bool ran = run(backwards), released = release();
        if (!ran && !released && block.failure.empty() && !over())
            block.failure = "threads wait at barriers that the others do not reach";
    }
}

} // namespace

void add(const Kernel &kernel) { kernels()[kernel.name] = kernel; }

void fail(const char *why) {
    block.failure = why;
    stop(Waits::Over);
    std::abort();
}

void wait_for_block() { stop(Waits::Block); }
void wait_for_warp() { stop(Waits::Warp); }

void exchange(const void *value, size_t bytes) {
    if (bytes > SLOT) fail("a value is too large to be exchanged");
    std::memcpy(running().slot, value, bytes);
    stop(Waits::Warp);
}
const void *of_lane(unsigned lane) {
    return block.threads[running().fiber.warp * 32 + lane].slot;
}
void exchanged() { stop(Waits::Warp); }

void *shared(const void *place, size_t bytes) {
    auto &memory = block.declared[place];
    if (memory.empty()) {
        memory.assign((bytes + 15) / 16 * 2 + 2, ~uint64_t{0});
        size_t all = 0;
        for (const auto &each : block.declared) all += each.second.size() * 8 - 16;
        if (all > DECLARED_LIMIT) fail("more shared memory is declared than a kernel may");
        if (all + block.dynamic_bytes > SHARED_LIMIT) fail("more shared memory than a block has");
    }
    const uintptr_t at = reinterpret_cast<uintptr_t>(memory.data());
    return reinterpret_cast<void *>((at + 15) / 16 * 16);
}
void *dynamic_shared() { return block.dynamic.data(); }

} // namespace emulation

// Runs a kernel. Returns null, or what is wrong; the text holds until the thread's next call.
extern "C" const char *desam_emulate(const char *name, const uint32_t *grid, const uint32_t *threads,
                                     uint32_t shared_bytes, void *const *arguments,
                                     const size_t *sizes, size_t count, bool backwards) {
    using namespace emulation;
    block.failure.clear();
    const auto found = kernels().find(name);
    if (found == kernels().end()) return "there is no such kernel";
    const Kernel &kernel = found->second;
    if (kernel.count != count) return "the kernel has another number of parameters";
    for (size_t i = 0; i < count; i++)
        if (kernel.sizes[i] != sizes[i]) return "a parameter has another size";
    const size_t all = size_t{threads[0]} * threads[1] * threads[2];
    if (all == 0 || all > kernel.threads) return "the block is larger than the kernel's bound";
    if (all % 32) return "the block is not made of whole warps";
    if (grid[0] == 0 || grid[1] == 0 || grid[2] == 0) return "the grid is empty";
    if (grid[1] > 65535 || grid[2] > 65535) return "the grid is too large";
    if (shared_bytes > SHARED_LIMIT) return "more shared memory than a block has";
    if (block.threads.size() != all) {
        block.threads = std::vector<Thread>(all);
        if (block.stacks.size() < all * STACK) block.stacks.resize(all * STACK);
    }
    block.kernel = &kernel;
    block.arguments = arguments;
    block.dynamic_bytes = shared_bytes;
    block_size = {threads[0], threads[1], threads[2]};
    grid_size = {grid[0], grid[1], grid[2]};
    for (unsigned z = 0; z < grid[2]; z++)
        for (unsigned y = 0; y < grid[1]; y++)
            for (unsigned x = 0; x < grid[0]; x++) {
                block_index = {x, y, z};
                one_block(backwards);
                if (!block.failure.empty()) return block.failure.c_str();
            }
    return nullptr;
}
