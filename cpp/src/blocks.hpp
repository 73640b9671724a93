/// The grid that reductions run on: fixed blocks, joined in order, in slices between which a call can be interrupted.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "ndloss/accumulator.hpp"
#include "ndloss/calls.hpp"
#include "ndloss/math.hpp"
#include "parallel.hpp"

namespace ndloss {

/// What one block contributes.
struct Part {
  double sum = 0;
  double carry = 0;
  double weight = 0;
  double weight_carry = 0;
  std::int64_t count = 0;

  /// Adds one loss that brings no weight of its own.
  void add(double loss) { compensate(sum, carry, loss); }

  /// Adds one loss and its divisor weight.
  void add(double loss, double divisor) {
    add(loss);
    compensate(weight, weight_carry, divisor);
  }

  [[nodiscard]] Accumulator whole() const {
    Accumulator result;
    result.sum = sum;
    result.carry = carry;
    result.weight = weight;
    result.weight_carry = weight_carry;
    result.count = count;
    return result;
  }

 private:
  static void compensate(double& head, double& tail, double term) {
    const math::Pair<double> both = math::two_sum(head, term);
    head = both.head;
    tail += both.tail;
  }
};

/// Blocks of which the parts are kept at a time, and after which the interrupt hook is asked.
inline constexpr std::int64_t slice_blocks = 4096;

/// Blocks that a thread takes at a time, at most; fewer where there are few, so that every thread has its share.
inline constexpr std::int64_t task_blocks = 16;

/// How the blocks of a call are handed out, `task` at most to a thread at a time. It decides when something happens, never what
/// comes out.
struct Grid {
  std::int64_t slice = slice_blocks;
  std::int64_t task = task_blocks;
};

/// Numbers for each thread's packed operands, aligned to cache lines, not initialised.
///
/// A kernel asks memory for what stands 4 or 8 KiB behind what it reads. Behind the scratch of one thread must not stand that
/// of another: its lines would go to and fro between the cores, and two threads be no faster than one.
class Scratch {
 public:
  Scratch(int threads, std::size_t bytes_each)
      : each_((bytes_each + 63) / 64 * 64 + gap),
        memory_(bytes_each == 0 ? nullptr : new char[each_ * static_cast<std::size_t>(threads) + 64]) {}

  template <class T>
  [[nodiscard]] T* of(int thread) const {
    if (memory_ == nullptr) {
      return nullptr;
    }
    const auto address = reinterpret_cast<std::uintptr_t>(memory_.get());
    return reinterpret_cast<T*>(memory_.get() + (64 - address % 64) % 64 + each_ * static_cast<std::size_t>(thread));
  }

 private:
  static constexpr std::size_t gap = 8192;

  std::size_t each_;
  std::unique_ptr<char[]> memory_;
};

/// Nothing to be done before a task.
struct Unprepared {
  void operator()(std::int64_t /*first*/, std::int64_t /*last*/, int /*thread*/) const {}
};

/// What the blocks of a slice come to, joined in order.
class SliceParts {
 public:
  SliceParts(const Accumulator& total, int threads) : total_(total), bad_(static_cast<std::size_t>(threads)) {}

  /// The blocks [first, last) are to be run.
  void open(std::int64_t first, std::int64_t last) {
    first_ = first;
    parts_.resize(static_cast<std::size_t>(last - first));
  }

  /// Runs body(block, thread, part) -> BadValue.
  template <class Body>
  void run(std::int64_t block, int thread, Body&& body) {
    Part& part = parts_[static_cast<std::size_t>(block - first_)];
    part = Part{};
    bad_[static_cast<std::size_t>(thread)].merge(body(block, thread, part));
  }

  void join() {
    for (const Part& part : parts_) {
      total_ += part.whole();
    }
  }

  [[nodiscard]] Accumulator total() const {
    Accumulator result = total_;
    for (const BadValue& one : bad_) {
      result.bad.merge(one);
    }
    return result;
  }

 private:
  Accumulator total_;
  std::int64_t first_ = 0;
  std::vector<Part> parts_;
  std::vector<BadValue> bad_;  // of each thread
};

/// Runs body(block, thread, part) -> BadValue over `blocks` blocks and adds the parts to `total` in order. The result does not
/// depend on the threads or their schedule. Before the blocks [first, last) that a thread takes at a time it calls
/// prepare(first, last, thread); where a task of the grid is a power of two, none of them crosses a multiple of it. Neither
/// must throw.
template <class Body, class Prepare = Unprepared>
Accumulator reduce_blocks(const Accumulator& total, std::int64_t blocks, int threads, const Interrupt& interrupt, Body&& body,
                          const Grid& grid = {}, const Prepare& prepare = {}) {
  const std::int64_t slice = std::min(blocks, grid.slice);
  SliceParts parts(total, threads);
  for (std::int64_t first = 0; first < blocks; first += slice) {
    if (first > 0) {
      interrupt.check();
    }
    const std::int64_t count = std::min(slice, blocks - first);
    const std::int64_t share = threads == 1 ? count : std::max<std::int64_t>(count / (8 * threads), 1);
    const std::int64_t each =
        share >= grid.task ? grid.task : static_cast<std::int64_t>(std::bit_floor(static_cast<std::uint64_t>(share)));
    parts.open(first, first + count);
    auto task = [&](std::int64_t index, int thread) {
      const std::int64_t begin = first + index * each;
      const std::int64_t end = std::min(begin + each, first + count);
      prepare(begin, end, thread);
      for (std::int64_t block = begin; block < end; ++block) {
        parts.run(block, thread, body);
      }
    };
    parallel_for((count + each - 1) / each, threads, task);
    parts.join();
  }
  return parts.total();
}

}  // namespace ndloss
