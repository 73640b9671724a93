/// Class indices, read once, checked, and only then used.
#pragma once

#include <cstdint>

#include "ndloss/calls.hpp"
#include "row_walk.hpp"

namespace ndloss {

/// The labels of a tile: the class of a kept row, -1 for an ignored or bad one.
struct TileLabels {
  std::int64_t label[tile_rows];
  double weight[tile_rows];  // w_y of a kept row, else 0
  std::int64_t kept = 0;
  BadValue bad;
};

/// Fills `out` for `rows` rows from `row` on. Entries beyond them are ignored rows.
void read_labels(const RowCall& call, const RowWalk& walk, const RowOffsets& offsets, std::int64_t row, int rows,
                 TileLabels& out);

}  // namespace ndloss
