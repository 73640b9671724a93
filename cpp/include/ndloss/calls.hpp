/// Calls without the types of their losses and arrays: what `evaluate.hpp` and the Python binding hand to the drivers.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <stdexcept>

#include "ndloss/accumulator.hpp"
#include "ndloss/kernels_elementwise.hpp"
#include "ndloss/losses.hpp"
#include "ndloss/views.hpp"

namespace ndloss {

/// Thrown, on the calling thread, when a call's interrupt hook says so.
struct Interrupted : std::runtime_error {
  Interrupted() : std::runtime_error("ndloss: interrupted") {}
};

/// Asked between slices of a long call, on the calling thread; true ends the call with an exception.
struct Interrupt {
  bool (*asked)(void* context) = nullptr;
  void* context = nullptr;

  void check() const;
};

/// How a call is carried out.
struct Options {
  Reduction reduction = Reduction::mean;
  const ArrayView* weight = nullptr;  // one per element, multiplies the loss of an elementwise loss; of no other loss
  int threads = 0;                    // 0: get_num_threads()
  Interrupt interrupt = {};
  const ArrayView* sample_weight = nullptr;  // one per unreduced loss: multiplies it and its part of a mean's divisor
};

enum class RowKind : std::uint8_t { cross_entropy, nll, multi_margin, multilabel_margin };

/// Whether a label may say that its row is left out, and the mean divides by the class weights of the others.
constexpr bool is_likelihood(RowKind kind) { return kind == RowKind::cross_entropy || kind == RowKind::nll; }

// ---- elementwise ----

/// A loss without its type.
struct ErasedLoss {
  const void* loss;
  const char* name;
  int operands;
  int inputs;
  bool row_mean;
  bool weighted_mean;
  const ElementwiseKernels<float>* single;  // null: the library's own, at `index` of the registry
  const ElementwiseKernels<double>* twice;
  std::size_t index;
};

template <class L>
inline constexpr bool has_weighted_mean = requires { requires L::weighted_mean; };

template <ElementwiseLoss L>
[[nodiscard]] ErasedLoss erase(const L& loss) {
  ErasedLoss erased{&loss, L::name, L::operands, L::inputs, row_mean<L>, has_weighted_mean<L>, nullptr, nullptr, 0};
  if constexpr (is_registered<L>) {
    erased.index = IndexIn<L, ElementwiseLosses>::value;
  } else {
    erased.single = &NDLOSS_ISA::elementwise_kernels<L, float>;
    erased.twice = &NDLOSS_ISA::elementwise_kernels<L, double>;
  }
  return erased;
}

/// What to read, in which type to compute, and which elements of it, in C order. The views must outlive the call.
struct ElementwiseCall {
  ErasedLoss loss;
  const ArrayView* operands[max_operands] = {};  // loss.operands of them, all of one shape
  const ArrayView* weight = nullptr;             // of that shape
  const ArrayView* sample_weight = nullptr;      // of that shape: multiplies the loss and its part of the divisor
  const ArrayView* mask = nullptr;               // of that shape: where it is 0 an element takes no part
  bool ignores = false;                          // nor where operand 1 is ignore_value
  double ignore_value = 0;
  DType compute = DType::float32;  // float32 or float64
  std::int64_t begin = 0;
  std::int64_t end = -1;          // -1: to the last
  std::int64_t row_divisor = -1;  // of a loss that averages over its last axis; -1: that axis
  bool raw = false;               // sums over elements, even for a loss that averages over its last axis: see per_row
  Accumulator initial;            // what the blocks are added to, one by one
  int threads = 0;
  Interrupt interrupt;
};

/// Where gradients go: an element's is its derivative times weight, upstream and scale.
struct ElementwiseGradients {
  double scale = 1;
  const ArrayView* upstream = nullptr;  // of the operands' shape
  Output grads[max_operands];
  Output curvatures[max_operands];  // second derivatives, times weight and scale
  Output value;                     // the unreduced loss, if wanted too
};

/// Σ of the loss; the first bad value of this call is reported in the result.
[[nodiscard]] Accumulator accumulate(const ElementwiseCall& call);

/// The unreduced loss; the first bad value is returned.
[[nodiscard]] BadValue map(const ElementwiseCall& call, const Output& value);

/// Σ of the loss (of nothing where `value` is wanted), gradients written.
[[nodiscard]] Accumulator gradients(const ElementwiseCall& call, const ElementwiseGradients& wanted);

/// Turns raw sums over elements into sums over rows of `classes` elements, each divided by `divisor`.
void per_row(Accumulator& total, std::int64_t classes, std::int64_t divisor);

/// The gradient of Σ weight loss for the weight: (loss - offset) times upstream and scale. The loss is taken without its
/// weight.
[[nodiscard]] BadValue weight_gradient(const ElementwiseCall& call, const ArrayView* upstream, double scale, double offset,
                                       const Output& out);

/// Rows of a block of a row pass.
[[nodiscard]] std::int64_t row_block(RowKind kind, std::int64_t classes);

/// What the reduction multiplies every element's gradient by; NaN for a mean whose divisor is 0.
[[nodiscard]] double gradient_scale(const ElementwiseCall& call, Reduction reduction);

/// An elementwise call from arrays of one shape, with the view it needs. Throws std::invalid_argument for shapes that do not
/// fit; computes in double if any operand is double. The operands must outlive it.
class ElementwiseCallStorage {
 public:
  ElementwiseCallStorage(const ErasedLoss& loss, std::initializer_list<ArrayView> operands, const Options& options);
  ElementwiseCallStorage(const ElementwiseCallStorage&) = delete;
  ElementwiseCallStorage& operator=(const ElementwiseCallStorage&) = delete;

  ElementwiseCall call;

 private:
  ArrayView sample_weight_;  // of the operands' shape
};

[[nodiscard]] ElementwiseGradients checked_gradients(const ElementwiseCall& call, std::initializer_list<Output> grads,
                                                     Reduction reduction);

void throw_if_bad(const BadValue& bad, const char* name);

// ---- rows of classes ----

/// A loss of rows: an array with a class axis, and one target per row or per class.
struct RowCall {
  RowKind kind = RowKind::cross_entropy;
  const ArrayView* input = nullptr;
  int axis = 1;                              // of the classes
  const ArrayView* labels = nullptr;         // shape of input without the axis
  const ArrayView* probabilities = nullptr;  // shape of input
  const ArrayView* label_sets = nullptr;     // shape of input: class indices, padded with -1
  const ArrayView* sample_weight = nullptr;  // shape of the labels: multiplies a row's loss and its part of the divisor
  const ArrayView* mask = nullptr;           // shape of the labels, integers: where it is 0 a row takes no part at all
  std::span<const double> weight;            // one per class, or none
  std::int64_t ignore_index = -100;
  double label_smoothing = 0;
  std::int64_t p = 1;  // of a margin loss
  double margin = 1;
  DType compute = DType::float32;
  std::int64_t begin = 0;  // rows, in C order of the input without its axis
  std::int64_t end = -1;
  Accumulator initial;  // what the blocks are added to, one by one
  int threads = 0;
  Interrupt interrupt;

  /// Whether rows count differently.
  [[nodiscard]] bool selects() const { return sample_weight != nullptr || mask != nullptr; }
};

/// Gradients have the input's shape, C-contiguous. A row's is its derivative times upstream and scale. Each may be written
/// where an operand of its shape and type stands, if that is C-contiguous too.
struct RowGradients {
  double scale = 1;
  const ArrayView* upstream = nullptr;  // shape of input without the axis
  Output input;
  Output target;     // probabilities only
  Output weight;     // probabilities only: (rows of the range, classes), to be summed over the rows
  Output curvature;  // the second derivative for the input, times the same; only beside its gradient
  Output value;
};

[[nodiscard]] Accumulator accumulate(const RowCall& call);

/// One loss per row. Only `bad` and `count` of the result count.
[[nodiscard]] Accumulator map(const RowCall& call, const Output& value);

[[nodiscard]] Accumulator gradients(const RowCall& call, const RowGradients& wanted);

[[nodiscard]] double gradient_scale(const RowCall& call, Reduction reduction);

[[nodiscard]] RowGradients checked_gradients(const RowCall& call, const Output& grad, Reduction reduction);

void throw_if_bad_row(const BadValue& bad, const char* name, std::int64_t classes, int lowest_label = 0);

/// A row call from contiguous arrays, with the views it needs.
struct RowCallStorage {
  RowCall call;
  ArrayView input_view;
  ArrayView target_view;
  ArrayView weight_view;

  template <class T>
  RowCallStorage(const CrossEntropyLoss& loss, const RowsView<T>& input, const ArrayView& target, const Options& options)
      : input_view(input.data, {input.rows, input.classes, input.inner}), target_view(target) {
    call.kind = RowKind::cross_entropy;
    call.weight = loss.weight;
    call.ignore_index = loss.ignore_index;
    call.label_smoothing = loss.label_smoothing;
    complete(CrossEntropyLoss::name, options);
  }

  template <class T>
  RowCallStorage(const NLLLoss& loss, const RowsView<T>& input, const ArrayView& target, const Options& options)
      : input_view(input.data, {input.rows, input.classes, input.inner}), target_view(target) {
    call.kind = RowKind::nll;
    call.weight = loss.weight;
    call.ignore_index = loss.ignore_index;
    complete(NLLLoss::name, options);
  }

  template <class T>
  RowCallStorage(const MultiMarginLoss& loss, const RowsView<T>& input, const ArrayView& target, const Options& options)
      : input_view(input.data, {input.rows, input.classes, input.inner}), target_view(target) {
    call.kind = RowKind::multi_margin;
    call.weight = loss.weight;
    call.p = loss.p;
    call.margin = loss.margin;
    complete(MultiMarginLoss::name, options);
  }

  template <class T>
  RowCallStorage(const MultiLabelMarginLoss& /*loss*/, const RowsView<T>& input, const ArrayView& target,
                 const Options& options)
      : input_view(input.data, {input.rows, input.classes, input.inner}), target_view(target) {
    call.kind = RowKind::multilabel_margin;
    call.margin = MultiLabelMarginLoss::margin;
    complete(MultiLabelMarginLoss::name, options);
  }

  RowCallStorage(const RowCallStorage&) = delete;
  RowCallStorage& operator=(const RowCallStorage&) = delete;

 private:
  void complete(const char* name, const Options& options);

  /// Gives numbers of the rows, flat or in their shape, the order of the rows: (rows, inner). False if they have another shape.
  [[nodiscard]] bool shape_as_rows(ArrayView& view) const;

  /// Gives a flat, contiguous target the shape of the input.
  void shape_as_input(const char* name, const char* what);
};

// ---- activations along a class axis ----

enum class RowActivation : std::uint8_t { softmax, log_softmax };

/// softmax or log-softmax of `input` along `axis`, or, given the upstream gradient, its vector-Jacobian product.
void activate(RowActivation kind, const ArrayView& input, int axis, const ArrayView* upstream, DType compute, const Output& out,
              int threads, const Interrupt& interrupt);

}  // namespace ndloss
