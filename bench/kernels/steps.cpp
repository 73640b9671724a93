// Counts what the calling thread runs, instruction by instruction and by address: the processor stops behind each one (its trap
// flag) and the handler notes where it stands. That works at every level of vectors, where valgrind knows none beyond AVX2, and
// takes some microseconds an instruction.
#include <csignal>
#include <cstddef>
#include <cstdint>

#include <ucontext.h>

namespace {

constexpr greg_t kTrapFlag = 0x100;

struct Counted {
  std::uintptr_t begin;
  std::size_t size;
  std::uint32_t* counts;
  volatile bool finished;
};

Counted counted;

void on_step(int /*signal*/, siginfo_t* /*info*/, void* context) {
  greg_t* registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  const std::size_t at = static_cast<std::uintptr_t>(registers[REG_RIP]) - counted.begin;
  if (at < counted.size)
    ++counted.counts[at];
  if (counted.finished)
    registers[REG_EFL] &= ~kTrapFlag;
}

}  // namespace

extern "C" {

/// From here on, counts[k] is one more for each instruction that this thread runs at begin + k, k < size.
void steps_begin(std::uintptr_t begin, std::size_t size, std::uint32_t* counts) {
  counted = {begin, size, counts, false};
  struct sigaction action = {};
  action.sa_sigaction = on_step;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGTRAP, &action, nullptr);
  asm volatile("pushfq\n\torq %0, (%%rsp)\n\tpopfq" ::"i"(kTrapFlag) : "cc", "memory");
}

void steps_end() { counted.finished = true; }

}  // extern "C"
