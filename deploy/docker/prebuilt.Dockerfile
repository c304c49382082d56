# The image of Seatline from a binary built outside, by `make image`. It pulls nothing.
FROM scratch
COPY seatline /seatline
# For what a container keeps, such as the keyset: a volume mounted here belongs to the user below.
COPY --chown=65532:65532 data /data
USER 65532:65532
ENTRYPOINT ["/seatline"]
