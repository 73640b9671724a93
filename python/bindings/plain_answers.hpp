/// What plain calls answer: the value, the unreduced loss, gradients, second derivatives; or that they have joined a stream.
#pragma once

#include "plain_call.hpp"
#include "plain_stream.hpp"

namespace ndloss::binding {

/// Where the derivatives for one operand go; false where the loss has none of that order.
template <class Gradients>
bool set_derivatives(Gradients& wanted, int argument, const Result& grad, const Output& hess) {
  if constexpr (requires { wanted.curvatures; }) {
    wanted.grads[argument] = grad.output();
    wanted.curvatures[argument] = hess;
    return true;
  } else if constexpr (requires { wanted.grads; }) {
    wanted.grads[argument] = {grad.output().data, grad.view()};
    return !hess.wanted();
  } else if (argument == 0) {
    wanted.input = grad.output();
    wanted.curvature = hess;
    return true;
  } else if constexpr (requires { wanted.target; }) {
    wanted.target = grad.output();
    return !hess.wanted();
  } else {
    return false;
  }
}

/// Writes the unreduced loss; false for numbers that the loss cannot take.
template <class Call>
bool mapped(const Call& call, const Output& losses) {
  if constexpr (requires { map(call, losses).bad; }) {
    return !map(call, losses).bad.found();
  } else if constexpr (requires { map(call, losses).found(); }) {
    return !map(call, losses).found();
  } else {
    map(call, losses);
    return true;
  }
}

/// The value of a call.
template <class Call>
PyObject* plain_value(Call& call, const PlainOperands& operands, Reduction reduction, const PlainOptions& options) {
  if (reduction == Reduction::none) {
    Result losses;
    if (operands.output_ndim == 0 || options.return_divisor ||
        !losses.make(options.outs[0], operands.dtype, operands.output_ndim, operands.output_shape, operands.arrays) ||
        !run_plain([&] { return mapped(call, losses.output()); }, operands.size)) {
      return decline();
    }
    return operands.warned() ? losses.release() : nullptr;
  }
  Accumulator total;
  const auto body = [&] {
    total = accumulate(call);
    total.share_divisor(options.shared);
    return !total.bad.found();
  };
  if (options.outs[0] != nullptr || !run_plain(body, operands.size) || options.is_refused(total, reduction)) {
    return decline();
  }
  if (!operands.warned()) {
    return nullptr;
  }
  PyObject* value = scalar(total.compute(reduction), operands.dtype);
  return options.return_divisor ? pair_of(value, scalar(total.divisor(), DType::float64)) : value;
}

/// (value, gradients), or (gradients, second derivatives).
template <class Gradients, class Call>
PyObject* plain_derivatives(Call& call, const PlainOperands& operands, Reduction reduction, const PlainOptions& options) {
  const bool hessian = options.derivatives == Derivatives::both;
  const bool unreduced = reduction == Reduction::none && !hessian;
  Result grads[max_operands];
  Result curvatures[max_operands];
  Result losses;
  Gradients wanted;
  ArrayView upstream;
  if (options.upstream.array != nullptr) {
    if constexpr (requires(const ArrayView* view) { wanted.upstream = view; }) {
      if (!unreduced || operands.row_mean || !spread(options.upstream, operands, false, 1, upstream, wanted.upstream)) {
        return decline();
      }
    } else {
      return decline();
    }
  }
  if (operands.ndim == 0 || options.return_divisor || (unreduced && (operands.output_ndim == 0 || options.grad_output))) {
    return decline();
  }
  for (int k = 0; k < options.count; ++k) {
    const int argument = options.arguments[k];
    if (argument >= operands.differentiable || !operands.is_whole(argument)) {
      return decline();
    }
    const DType dtype = operands.gradient(argument);
    if (!grads[k].make(options.outs[k], dtype, operands.ndim, operands.shape, operands.arrays) ||
        (hessian &&
         !curvatures[k].make(options.outs[max_operands + k], dtype, operands.ndim, operands.shape, operands.arrays)) ||
        !set_derivatives(wanted, argument, grads[k], curvatures[k].output())) {
      return decline();
    }
  }
  if (unreduced) {
    if (!losses.make(nullptr, operands.dtype, operands.output_ndim, operands.output_shape, operands.arrays)) {
      return decline();
    }
    wanted.value = losses.output();
  }
  Accumulator total;
  const auto body = [&] {
    wanted.scale = options.grad_output.value_or(1) * static_cast<double>(reduction == Reduction::mean ? options.shared : 1);
    wanted.scale *= gradient_scale(call, reduction == Reduction::mean ? Reduction::mean : Reduction::sum);
    total = gradients(call, wanted);
    total.share_divisor(options.shared);
    return !total.bad.found();
  };
  if (!run_plain(body, operands.size) || options.is_refused(total, reduction)) {
    return decline();
  }
  if (!operands.warned()) {
    return nullptr;
  }
  PyObject* derivatives = released(grads, options);
  if (hessian) {
    return pair_of(derivatives, released(curvatures, options));
  }
  return pair_of(unreduced ? losses.release() : scalar(total.compute(reduction), operands.dtype), derivatives);
}

/// What a call is asked for.
template <class Gradients, class Call>
PyObject* answer(Call& call, const PlainOperands& operands, Reduction reduction, const PlainOptions& options) {
  call.threads = options.threads;
  call.interrupt = operands.size >= gil_worth ? signals() : Interrupt{};
  if (options.feed.wanted()) {
    return plain_fed(call, operands, options);
  }
  if (options.derivatives == Derivatives::none) {
    return plain_value(call, operands, reduction, options);
  }
  return plain_derivatives<Gradients>(call, operands, reduction, options);
}

}  // namespace ndloss::binding
