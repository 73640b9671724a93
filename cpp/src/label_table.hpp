/// The kernels of one ISA for what stands beside the classes of a tile of rows: its labels, and one number of each row.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ndloss/math.hpp"
#include "softmax_tile.hpp"

namespace ndloss {

/// Which labels are kept.
struct LabelRule {
  std::uint64_t classes;
  std::int64_t ignored;
  bool can_ignore;
};

/// How many rows are kept; whether a label that is not left out is no class.
struct LabelCount {
  std::int64_t kept;
  bool any_bad;
};

/// What weighs some rows or leaves them out, beside their labels.
struct RowWeights {
  const double* by_class = nullptr;  // of each class; null: 1
  const double* sample = nullptr;    // of each row; null: 1
  const bool* keep = nullptr;        // of each row; null: all are kept
  double scale = 1;                  // of gradients, to be multiplied by sample weights before it is rounded
};

/// Whole tiles of evenly spaced rows that have nothing beside their classes but a label each or a set of them, and weights.
/// Strides count elements.
template <class T>
struct LabelledRows {
  const T* first = nullptr;
  std::ptrdiff_t row_stride = 0;
  std::ptrdiff_t class_stride = 0;
  std::ptrdiff_t classes = 0;
  bool copied = false;                 // a moment ago: no memory is to be asked for
  std::int64_t* label = nullptr;       // destroyed
  const std::int64_t* sets = nullptr;  // instead, for several targets: contiguous rows of as many labels as classes
  LabelRule rule{};
  T* value = nullptr;    // one number a row; null: not wanted
  T* grad = nullptr;     // contiguous rows of classes; null: not wanted
  bool streams = false;  // whether gradients go past the caches where a kernel can
  T scale = 1;           // multiplies gradients
  RowWeights weights;    // of softmax kernels
  BeforeTile before;     // of tiles side by side
};

/// Sums over rows of their losses and of what they add to a divisor, each with what it has lost to rounding; and how many rows
/// are kept.
struct RowSum {
  math::Pair<double> loss;
  math::Pair<double> weight;
  std::int64_t kept;
};

/// Arrays have tile_rows entries, of which the first `rows` are rows.
template <class T>
struct PickTable {
  /// The number of each row at its label, of class 0 where there is none. Strides count elements.
  void (*pick)(const T* first, std::ptrdiff_t row_stride, std::ptrdiff_t class_stride, const std::int64_t* label, int rows,
               T* picked);
  /// The negative log likelihood of each row; 0 for a row left out.
  void (*likelihood)(const T* picked, const std::int64_t* label, const double* weight, int rows, double* losses);
  /// Adds whole tiles to `total` and puts out what is wanted of them, up to the first tile with a bad label: how many that
  /// were.
  std::ptrdiff_t (*fold)(const LabelledRows<T>& rows, std::ptrdiff_t tiles, RowSum& total);
};

struct LabelTables {
  /// Leaves a kept row its label and weight 1, any other -1 and 0, those beyond `rows` included. `keep` says what a mask keeps;
  /// null for every row.
  LabelCount (*sort)(const LabelRule& rule, const bool* keep, int rows, std::int64_t* label, double* weight);
  /// The sum of `rows` numbers and what it has lost to rounding: pairwise, in a fixed order.
  math::Pair<double> (*sum)(const double* numbers, int rows);
  PickTable<float> single;
  PickTable<double> twice;
};

}  // namespace ndloss
