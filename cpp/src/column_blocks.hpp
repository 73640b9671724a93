/// The order in which the blocks of arrays in Fortran order are worked on: rows that share cache lines together.
#pragma once

#include <algorithm>
#include <cstdint>

#include "blocks.hpp"

namespace ndloss {

/// Elements [begin, end) in rows longer than a block, whose columns stand side by side in memory: a line of the cache holds a
/// number of each of `rows` of them. A task is what begins in one stripe, of the width of a block, of so many rows.
class ColumnOrder {
 public:
  static constexpr std::int64_t rows = 16;

  ColumnOrder(std::int64_t begin, std::int64_t end, std::int64_t columns, std::int64_t block)
      : begin_(begin), end_(end), columns_(columns), block_(block), stripes_((columns + block - 1) / block) {}

  [[nodiscard]] std::int64_t stripes() const { return stripes_; }
  [[nodiscard]] std::int64_t first_group() const { return begin_ / columns_ / rows; }
  [[nodiscard]] std::int64_t last_group() const { return end_ > begin_ ? (end_ - 1) / columns_ / rows + 1 : first_group(); }

  /// The first block that begins in that group of rows or behind it.
  [[nodiscard]] std::int64_t first_block(std::int64_t group) const {
    const std::int64_t blocks = (end_ - begin_ + block_ - 1) / block_;
    return std::min(block_from(group * rows * columns_), blocks);
  }

  /// The block that begins in a stripe of a row, or -1.
  [[nodiscard]] std::int64_t block(std::int64_t row, std::int64_t stripe) const {
    const std::int64_t from = row * columns_ + stripe * block_;
    const std::int64_t index = block_from(from);
    const std::int64_t to = std::min({from + block_, (row + 1) * columns_, end_});
    return begin_ + index * block_ < to ? index : -1;
  }

  /// Which of the rows of its group an element's block begins in.
  [[nodiscard]] std::int64_t place(std::int64_t element) const { return start(element) / columns_ % rows; }

  /// Where the block of an element begins.
  [[nodiscard]] std::int64_t start(std::int64_t element) const { return element - (element - begin_) % block_; }

 private:
  /// The first block that begins at that element or behind it.
  [[nodiscard]] std::int64_t block_from(std::int64_t element) const {
    return element <= begin_ ? 0 : (element - begin_ + block_ - 1) / block_;
  }

  std::int64_t begin_;
  std::int64_t end_;
  std::int64_t columns_;
  std::int64_t block_;
  std::int64_t stripes_;
};

/// As reduce_blocks, in that order: before the blocks of a stripe of a group it calls prepare(group, stripe, thread).
template <class Body, class Prepare>
Accumulator reduce_columns(const Accumulator& total, const ColumnOrder& order, int threads, const Interrupt& interrupt,
                           Body&& body, const Prepare& prepare) {
  SliceParts parts(total, threads);
  for (std::int64_t first = order.first_group(); first < order.last_group();) {
    if (first > order.first_group()) {
      interrupt.check();
    }
    std::int64_t last = first + 1;
    while (last < order.last_group() && order.first_block(last + 1) - order.first_block(first) <= slice_blocks) {
      ++last;
    }
    parts.open(order.first_block(first), order.first_block(last));
    auto task = [&](std::int64_t index, int thread) {
      const std::int64_t group = first + index / order.stripes();
      const std::int64_t stripe = index % order.stripes();
      prepare(group, stripe, thread);
      for (std::int64_t row = group * ColumnOrder::rows; row < (group + 1) * ColumnOrder::rows; ++row) {
        if (const std::int64_t block = order.block(row, stripe); block >= 0) {
          parts.run(block, thread, body);
        }
      }
    };
    parallel_for((last - first) * order.stripes(), threads, task);
    parts.join();
    first = last;
  }
  return parts.total();
}

}  // namespace ndloss
