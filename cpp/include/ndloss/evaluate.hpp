/// Evaluating losses from C++: reduced, unreduced, with gradients, and as mergeable partial results.
///
/// Sizes and options are checked and throw std::invalid_argument, as does a number outside its domain; a class index out of
/// range throws std::out_of_range. An output may be partly written when a call throws.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>

#include "ndloss/accumulator.hpp"
#include "ndloss/calls.hpp"
#include "ndloss/losses.hpp"
#include "ndloss/views.hpp"

namespace ndloss {

// ---- elementwise losses, shipped or a program's own ----

/// The loss's mergeable partial result: `+=` joins those of chunks, threads or workers.
template <ElementwiseLoss L>
[[nodiscard]] Accumulator accumulate(const L& loss, std::initializer_list<ArrayView> operands, const Options& options = {}) {
  const ElementwiseCallStorage storage(erase(loss), operands, options);
  const Accumulator total = accumulate(storage.call);
  throw_if_bad(total.bad, L::name);
  return total;
}

/// The reduced loss.
template <ElementwiseLoss L>
[[nodiscard]] double evaluate(const L& loss, std::initializer_list<ArrayView> operands, const Options& options = {}) {
  return accumulate(loss, operands, options).compute(options.reduction);
}

/// The unreduced loss: one number per element, or per row of the last axis for a loss that averages over it.
template <ElementwiseLoss L, class T, std::size_t N>
void evaluate(const L& loss, std::initializer_list<ArrayView> operands, std::span<T, N> out, const Options& options = {}) {
  const ElementwiseCallStorage storage(erase(loss), operands, options);
  throw_if_bad(map(storage.call, Output(out)), L::name);
}

/// The reduced loss; the gradients for its operands, in order, go to `grads`. An empty Output skips one.
template <ElementwiseLoss L>
double value_and_gradient(const L& loss, std::initializer_list<ArrayView> operands, std::initializer_list<Output> grads,
                          const Options& options = {}) {
  const ElementwiseCallStorage storage(erase(loss), operands, options);
  const Accumulator total = gradients(storage.call, checked_gradients(storage.call, grads, options.reduction));
  throw_if_bad(total.bad, L::name);
  return total.compute(options.reduction);
}

/// The reduced loss; its gradient for the first operand goes to `grad`.
template <ElementwiseLoss L, class T, std::size_t N>
double value_and_gradient(const L& loss, std::initializer_list<ArrayView> operands, std::span<T, N> grad,
                          const Options& options = {}) {
  return value_and_gradient(loss, operands, {Output(grad)}, options);
}

// ---- losses of rows of classes: CrossEntropyLoss, NLLLoss, MultiMarginLoss, MultiLabelMarginLoss ----

/// The target of a row: class indices of any integer type, one per row; or as many as there are classes, padded with -1
/// (multi-label margin); or (cross entropy) probabilities, one per logit.
template <class L>
concept RowLoss = IndexIn<L, RowLosses>::value < RowLosses::size;

/// The least label that a loss takes: -1 where it stands for none.
template <class L>
inline constexpr int lowest_label = [] {
  if constexpr (requires { L::lowest_label; }) {
    return L::lowest_label;
  } else {
    return 0;
  }
}();

template <RowLoss L, class T>
[[nodiscard]] Accumulator accumulate(const L& loss, const RowsView<T>& input, const ArrayView& target,
                                     const Options& options = {}) {
  const RowCallStorage call(loss, input, target, options);
  const Accumulator total = accumulate(call.call);
  throw_if_bad_row(total.bad, L::name, input.classes, lowest_label<L>);
  return total;
}

template <RowLoss L, class T>
[[nodiscard]] double evaluate(const L& loss, const RowsView<T>& input, const ArrayView& target, const Options& options = {}) {
  return accumulate(loss, input, target, options).compute(options.reduction);
}

/// One number per row.
template <RowLoss L, class T, class U, std::size_t N>
void evaluate(const L& loss, const RowsView<T>& input, const ArrayView& target, std::span<U, N> out,
              const Options& options = {}) {
  const RowCallStorage call(loss, input, target, options);
  throw_if_bad_row(map(call.call, Output(out)).bad, L::name, input.classes, lowest_label<L>);
}

/// The reduced loss; the gradient for the input, laid out as the input, goes to `grad`.
template <RowLoss L, class T, class U, std::size_t N>
double value_and_gradient(const L& loss, const RowsView<T>& input, const ArrayView& target, std::span<U, N> grad,
                          const Options& options = {}) {
  const RowCallStorage call(loss, input, target, options);
  const Accumulator total = gradients(call.call, checked_gradients(call.call, Output(grad), options.reduction));
  throw_if_bad_row(total.bad, L::name, input.classes, lowest_label<L>);
  return total.compute(options.reduction);
}

}  // namespace ndloss
