// Elementwise losses by name: sums, maps and gradients of arrays of one shape.
#include <pybind11/stl.h>

#include <optional>
#include <string>
#include <vector>

#include "arrays.hpp"
#include "ndloss/broadcast_sum.hpp"
#include "registered.hpp"

namespace ndloss::binding {
namespace {

const RegisteredLoss& loss_named(const std::string& name) {
  for (const RegisteredLoss& loss : registered) {
    if (name == loss.name) {
      return loss;
    }
  }
  throw py::value_error("no elementwise loss is called '" + name + "'");
}

py::object bad_of(const BadValue& bad) {
  Accumulator holder;
  holder.bad = bad;
  return py::cast(holder).attr("bad");
}

/// A call of one loss on some arrays, with everything it refers to.
class BoundElementwise {
 public:
  BoundElementwise(const std::string& name, const std::vector<double>& parameters, const py::tuple& operands,
                   const py::object& weight, bool twice, int threads, std::int64_t row_divisor, const py::object& sample_weight,
                   const py::object& mask, const std::optional<double>& ignore_value) {
    const RegisteredLoss& loss = loss_named(name);
    if (parameters.size() != static_cast<std::size_t>(loss.parameters) ||
        operands.size() != static_cast<std::size_t>(loss.operands)) {
      throw py::value_error(name + ": wrong number of parameters or operands");
    }
    loss.make(loss_, parameters.data());
    call_.loss = loss_.erased;
    for (std::size_t k = 0; k < operands.size(); ++k) {
      call_.operands[k] = views_.add(operands[k]);
    }
    call_.weight = views_.add(weight);
    call_.sample_weight = views_.add(sample_weight);
    call_.mask = views_.add(mask);
    call_.ignores = ignore_value.has_value();
    call_.ignore_value = ignore_value.value_or(0);
    call_.compute = twice ? DType::float64 : DType::float32;
    call_.threads = threads;
    call_.row_divisor = row_divisor;
    call_.interrupt = signals();
  }
  BoundElementwise(const BoundElementwise&) = delete;
  BoundElementwise& operator=(const BoundElementwise&) = delete;

  /// The sum over elements [begin, end), added to `initial`; raw sums are not divided by rows.
  Accumulator accumulate(const Accumulator& initial, std::int64_t begin, std::int64_t end, bool raw) const {
    ElementwiseCall call = call_;
    call.initial = initial;
    call.begin = begin;
    call.end = end;
    call.raw = raw;
    return without_gil([&] { return ndloss::accumulate(call); });
  }

  py::object map(const py::object& out) const {
    Views views;
    const Output output = output_of(out, views);
    return bad_of(without_gil([&] { return ndloss::map(call_, output); }));
  }

  /// What a reduction multiplies the gradients by: known from weights and masks alone.
  double scale(const std::string& reduction) const {
    const Reduction kind = reduction == "mean" ? Reduction::mean : Reduction::sum;
    return without_gil([&] { return gradient_scale(call_, kind); });
  }

  /// Gradients of elements [begin, end), and their sum added to `initial`; raw sums are not divided by rows.
  Accumulator gradients(double scale, const py::object& upstream, const py::tuple& grads, const py::object& value,
                        const py::tuple& curvatures, const std::optional<Accumulator>& initial, std::int64_t begin,
                        std::int64_t end, bool raw) const {
    Views views;
    ElementwiseCall call = call_;
    call.initial = initial.value_or(Accumulator());
    call.begin = begin;
    call.end = end;
    call.raw = raw;
    ElementwiseGradients wanted;
    wanted.scale = scale;
    wanted.upstream = views.add(upstream);
    for (std::size_t k = 0; k < grads.size(); ++k) {
      wanted.grads[k] = output_of(grads[k], views);
    }
    for (std::size_t k = 0; k < curvatures.size(); ++k) {
      wanted.curvatures[k] = output_of(curvatures[k], views);
    }
    wanted.value = output_of(value, views);
    return without_gil([&] { return ndloss::gradients(call, wanted); });
  }

  /// The gradient of elements [begin, end) for the weight, whatever the call's own weight.
  py::object weight_gradient(double scale, double offset, const py::object& upstream, const py::object& out, std::int64_t begin,
                             std::int64_t end) const {
    Views views;
    ElementwiseCall call = call_;
    call.begin = begin;
    call.end = end;
    const ArrayView* g = views.add(upstream);
    const Output output = output_of(out, views);
    return bad_of(without_gil([&] { return ndloss::weight_gradient(call, g, scale, offset, output); }));
  }

 private:
  AnyLoss loss_;
  Views views_;
  ElementwiseCall call_;
};

/// The sums of a broadcast operand's gradient, and the array that they go to, whose shape they have.
class BoundSum {
 public:
  BoundSum(const std::vector<std::int64_t>& shape, const py::array& to, int threads)
      : sum_(shape, std::vector<std::int64_t>(to.shape(), to.shape() + to.ndim()), output_of(to, views_), threads) {
    static_cast<void>(views_.add(to));  // kept alive
  }

  /// The next numbers of that shape, in C order, float32 or float64.
  void add(const py::array& slab) {
    const Output terms = output_of(slab);
    without_gil([&] {
      if (terms.dtype == DType::float64) {
        sum_.add(static_cast<const double*>(terms.data), terms.size);
      } else {
        sum_.add(static_cast<const float*>(terms.data), terms.size);
      }
    });
  }

 private:
  Views views_;
  BroadcastSum sum_;
};

}  // namespace

void bind_elementwise(py::module_& m) {
  py::class_<BoundElementwise>(m, "ElementwiseCall")
      .def(py::init<const std::string&, const std::vector<double>&, const py::tuple&, const py::object&, bool, int,
                    std::int64_t, const py::object&, const py::object&, const std::optional<double>&>(),
           py::arg("name"), py::arg("parameters"), py::arg("operands"), py::arg("weight"), py::arg("twice"), py::arg("threads"),
           py::arg("row_divisor"), py::arg("sample_weight") = py::none(), py::arg("mask") = py::none(),
           py::arg("ignore_value") = py::none())
      .def("accumulate", &BoundElementwise::accumulate, py::arg("initial"), py::arg("begin") = 0, py::arg("end") = -1,
           py::arg("raw") = false)
      .def("map", &BoundElementwise::map, py::arg("out"))
      .def("scale", &BoundElementwise::scale, py::arg("reduction"))
      .def("gradients", &BoundElementwise::gradients, py::arg("scale"), py::arg("upstream"), py::arg("grads"), py::arg("value"),
           py::arg("curvatures") = py::tuple(), py::arg("initial") = py::none(), py::arg("begin") = 0, py::arg("end") = -1,
           py::arg("raw") = false)
      .def("weight_gradient", &BoundElementwise::weight_gradient, py::arg("scale"), py::arg("offset"), py::arg("upstream"),
           py::arg("out"), py::arg("begin") = 0, py::arg("end") = -1);
  py::class_<BoundSum>(m, "BroadcastSum")
      .def(py::init<const std::vector<std::int64_t>&, const py::array&, int>(), py::arg("shape"), py::arg("to"),
           py::arg("threads") = 0)
      .def("add", &BoundSum::add, py::arg("slab"));
  m.attr("elementwise_block") = elementwise_block;
  py::list names;
  for (const RegisteredLoss& loss : registered) {
    names.append(loss.name);
  }
  m.attr("elementwise_names") = py::tuple(names);
}

}  // namespace ndloss::binding
