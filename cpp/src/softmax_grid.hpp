/// How the rows of a softmax call are cut into tiles and blocks: functions of the number of classes alone.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>

#include "blocks.hpp"
#include "softmax_tile.hpp"

namespace ndloss {

/// Above this many classes the segments of one row run in parallel, up to it the rows do.
inline constexpr std::int64_t parallel_row = 4 * row_segment;

/// Rows of a tile: a function of the number of classes alone.
inline std::int64_t rows_per_tile(std::int64_t classes) {
  return classes < short_row ? tile_rows : std::clamp<std::int64_t>(16384 / classes, 1, tile_rows);
}

/// Rows of a block: a function of the number of classes alone, and whole tiles.
inline std::int64_t rows_per_block(std::int64_t classes) {
  constexpr std::int64_t logits = 16384;
  const std::int64_t tile = rows_per_tile(classes);
  return std::clamp<std::int64_t>(logits / std::max<std::int64_t>(classes, 1) / tile, 1, 8) * tile;
}

/// Blocks that rows in columns are turned by: some cache lines of each column, and no more than L2 holds. A power of two.
inline std::int64_t turned_blocks(std::int64_t classes) {
  constexpr std::uint64_t rows = 64;
  const auto each = static_cast<std::uint64_t>(rows_per_block(classes));
  return static_cast<std::int64_t>(std::clamp<std::uint64_t>(std::bit_ceil(rows / each), 1, task_blocks));
}

}  // namespace ndloss
