/// The inner loops of the softmax family: cross entropy, softmax and log-softmax over a tile of rows.
///
/// One formula, two directions. `along` takes one contiguous row at a time, lanes along the classes; `across` takes the classes
/// in order, lanes across the rows of the tile. Which one runs depends on the number of classes alone, so that the bits do not
/// depend on the layout. A tile goes through five phases: maxima, references, sums, totals, output; only the phases that touch
/// classes know the direction.
#pragma once

#include "kernels_softmax_across.hpp"
#include "kernels_softmax_along.hpp"
#include "kernels_softmax_fold.hpp"

namespace ndloss::NDLOSS_ISA {
namespace {

template <SoftmaxJob J, Coefficients K, class T>
constexpr void enter(SoftmaxTable<T>& table) {
  const auto job = static_cast<int>(J);
  const auto kind = static_cast<int>(K);
  table.short_rows[job][kind] = {tile_across<K, J, T>, nullptr, nullptr, nullptr};
  table.long_rows[job][kind] = {tile_along<K, J, T>, fold_segment<K, summed_as(J), T>, inner_segment<J, T>,
                                emit_segment<K, J, T>};
}

template <class T>
constexpr SoftmaxTable<T> softmax_table() {
  SoftmaxTable<T> table{};
  enter<SoftmaxJob::value, Coefficients::none>(table);
  enter<SoftmaxJob::value, Coefficients::shared>(table);
  enter<SoftmaxJob::value, Coefficients::probabilities>(table);
  enter<SoftmaxJob::gradient, Coefficients::none>(table);
  enter<SoftmaxJob::gradient, Coefficients::shared>(table);
  enter<SoftmaxJob::gradient, Coefficients::probabilities>(table);
  enter<SoftmaxJob::softmax, Coefficients::none>(table);
  enter<SoftmaxJob::log_softmax, Coefficients::none>(table);
  enter<SoftmaxJob::softmax_vjp, Coefficients::none>(table);
  enter<SoftmaxJob::log_softmax_vjp, Coefficients::none>(table);
  table.folds[static_cast<int>(SoftmaxJob::value)] = fold_tiles_across<SoftmaxJob::value, T>;
  table.folds[static_cast<int>(SoftmaxJob::gradient)] = fold_tiles_across<SoftmaxJob::gradient, T>;
  table.sum_losses = sum_losses<T>;
  return table;
}

}  // namespace
}  // namespace ndloss::NDLOSS_ISA
