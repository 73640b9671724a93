/// The inner loops of the margin losses: hinges of every class against a row's targets, summed over a tile of rows.
///
/// As in the softmax family short rows run across (lanes are rows), long rows along (lanes are classes); which one depends on
/// the number of classes alone. A target's own score counts as -inf: never a violation. So do the classes that fill up the last
/// lanes of a row.
#pragma once

#include "kernels_margin_across.hpp"
#include "kernels_margin_along.hpp"
#include "margin_tile.hpp"

namespace ndloss::NDLOSS_ISA {
namespace {

template <MarginJob J, MarginKind K, class T>
constexpr void enter(MarginTable<T>& table) {
  const auto job = static_cast<int>(J);
  const auto kind = static_cast<int>(K);
  table.short_rows[job][kind] = tile_across<K, J, T>;
  table.long_rows[job][kind] = tile_along<K, J, T>;
  table.folds[job][kind] = fold_across<K, J, T>;
}

template <class T>
constexpr MarginTable<T> margin_table() {
  MarginTable<T> table{};
  enter<MarginJob::value, MarginKind::one>(table);
  enter<MarginJob::value, MarginKind::one_squared>(table);
  enter<MarginJob::value, MarginKind::several>(table);
  enter<MarginJob::gradient, MarginKind::one>(table);
  enter<MarginJob::gradient, MarginKind::one_squared>(table);
  enter<MarginJob::gradient, MarginKind::several>(table);
  return table;
}

}  // namespace
}  // namespace ndloss::NDLOSS_ISA
