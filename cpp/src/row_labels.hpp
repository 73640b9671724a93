/// What each row says of itself beside its classes: class index, weight, mask. Class indices are read once, checked, and only
/// then used.
#pragma once

#include <cstdint>

#include "label_table.hpp"
#include "ndloss/calls.hpp"
#include "row_walk.hpp"

namespace ndloss {

/// The labels of a tile: the class of a kept row, -1 for one that is masked, ignored or bad.
struct TileLabels {
  std::int64_t label[tile_rows];  // of a call with labels
  double weight[tile_rows];       // of a call with labels: w_y of a kept row, else 0
  double sample[tile_rows];       // of a call that selects: the sample weight of a kept row, else 0
  bool keep[tile_rows];           // of a call that selects
  std::int64_t kept = 0;
  BadValue bad;
};

/// Which labels of a call are kept.
LabelRule label_rule(const RowCall& call, const RowWalk& walk);

/// Fills `out` for `rows` rows from `row` on. Entries beyond them are ignored rows.
void read_labels(const RowCall& call, const RowWalk& walk, const RowOffsets& offsets, std::int64_t row, int rows,
                 TileLabels& out);

/// The labels of `rows` rows, not checked.
void copy_labels(const RowWalk& walk, const RowOffsets& offsets, int rows, std::int64_t* to);

/// Rows of which the mask is copied at a time, at most.
inline constexpr int copied_rows = 8 * tile_rows;

/// The sample weights of `rows` rows, and what their mask says.
void copy_sample_weights(const RowWalk& walk, const RowOffsets& offsets, int rows, double* to);
void copy_mask(const RowWalk& walk, const RowOffsets& offsets, int rows, bool* to);

}  // namespace ndloss
